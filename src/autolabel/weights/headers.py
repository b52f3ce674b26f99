"""Read the names, types and shapes of a weight file's tensors, without torch and without their data."""

from __future__ import annotations

import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from autolabel.errors import WeightsError
from autolabel.weights.rust_errors import first_line
from autolabel.weights.stand_ins import Nothing, only_settings
from autolabel.weights.unwrap import innermost, unknown_nests

_LARGEST_HEADER = 100_000_000
"""The longest header, in bytes; safetensors' own limit."""
_MOST_TENSORS = 100_000
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    "Double": 8, "Long": 8, "ComplexFloat": 8, "ComplexDouble": 16, "Float": 4, "Int": 4, "Half": 2, "BFloat16": 2,
    "Short": 2, "Char": 1, "Byte": 1, "Bool": 1, "Untyped": 1, "Float8_e4m3fn": 1, "Float8_e5m2": 1,
}  # fmt: skip
"""Bytes of a number in each of torch's kinds of storage."""
_DTYPES = {
    "F64": 8, "I64": 8, "U64": 8, "C64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2,
    "I8": 1, "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "F8_E4M3FNUZ": 1, "F8_E5M2FNUZ": 1,
}  # fmt: skip
"""Bytes of a number of each of safetensors' types; those of less than a byte are not read."""
_HARMLESS = (
    "torch._utils.",
    "torch._tensor.",
    "torch.nn.parameter.",
    "collections.Counter",
    "_codecs.encode",
    "builtins.set",
    "builtins.bytearray",
    "builtins.complex",
)
"""Globals that torch's weights-only loader accepts too."""


@dataclass(frozen=True, slots=True)
class TensorHeader:
    """A tensor without its data."""

    shape: tuple[int, ...]
    stored: int = 0
    """Numbers that the file holds for it, which other tensors may share."""

    @property
    def ndim(self) -> int:
        """Return the number of axes."""
        return len(self.shape)


@dataclass(slots=True)
class _Storage:
    key: str
    count: int
    bytes: int
    """The bytes of all its numbers."""


def tensor_headers(file: Path) -> dict[str, TensorHeader] | None:
    """Return the tensors of a weight file by name, unwrapped from known nests; None if only torch can read the file.

    Raises WeightsError if the file is truncated, holds objects that could run code, or tensors larger than their data
    (so that a few bytes cannot become gigabytes).
    """
    with _reading(file), file.open("rb") as stream:
        if file.suffix == ".safetensors":
            return _of_safetensors(file, stream)
        if zipfile.is_zipfile(file):
            return _of_zip(file)
        if stream.read(1) == b"\x80":
            stream.seek(0)
            return _of_legacy(file, stream)
    return None


@contextmanager
def _reading(file: Path) -> Iterator[None]:
    """Convert any error of reading a damaged file to WeightsError."""
    try:
        yield
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(f"{file}: cannot be read: {error.strerror or error}") from error
    except Exception as error:
        raise WeightsError(f"{file}: not a whole weight file: {first_line(error)}", hint="download it again") from error


def _of_safetensors(file: Path, stream: BinaryIO) -> dict[str, TensorHeader]:
    size = file.stat().st_size
    start = stream.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
    if not 2 <= length <= min(_LARGEST_HEADER, size - 8):
        raise WeightsError(f"{file}: not a whole safetensors file: its header is cut short", hint="download it again")
    header = msgspec.json.decode(stream.read(length), type=dict[str, dict[str, Any]])
    header.pop("__metadata__", None)
    end = max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
    if end > size - 8 - length:
        raise WeightsError(
            f"{file}: not a whole safetensors file: {size:,} bytes, its header requires {end + 8 + length:,}",
            hint="download it again",
        )
    for name, entry in header.items():
        _check_extent(file, name, entry)
    return _counted(file, {name: TensorHeader(_shape(entry["shape"]), end) for name, entry in header.items()})


def _check_extent(file: Path, name: str, entry: Mapping[str, Any]) -> None:
    """Raise WeightsError if a tensor's shape and type do not match its byte range."""
    start, end = map(int, entry["data_offsets"])
    shape, kind = _shape(entry["shape"]), str(entry["dtype"])
    if kind not in _DTYPES:
        raise WeightsError(f"{file}: the tensor {name[:80]!r} is of the type {kind[:40]!r}, which is not read")
    wanted = math.prod(shape) * _DTYPES[kind]
    if start < 0 or end - start != wanted:
        raise WeightsError(
            f"{file}: the tensor {name[:80]!r} of shape {shape} takes {wanted:,} bytes, its header gives it"
            f" {end - start:,}",
            hint="download it again",
        )


def _shape(sides: Any) -> tuple[int, ...]:
    shape = tuple(int(side) for side in sides)
    if any(side < 0 for side in shape):
        raise ValueError(f"a tensor of shape {shape}")
    return shape


def _counted(file: Path, found: dict[str, TensorHeader]) -> dict[str, TensorHeader]:
    if len(found) > _MOST_TENSORS:
        raise WeightsError(f"{file}: holds {len(found):,} tensors, more than any model read here ({_MOST_TENSORS:,})")
    return found


def _of_zip(file: Path) -> dict[str, TensorHeader] | None:
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        packed = next((entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED), None)
        if packed is not None:
            raise WeightsError(
                f"{file}: its entry {packed.filename!r} is compressed, which torch never does",
                hint="save it again with torch.save",
            )
        pickled = next((entry for entry in entries if entry.filename.endswith("/data.pkl")), None)
        if pickled is None:
            return None
        if pickled.file_size > _LARGEST_HEADER:
            raise WeightsError(f"{file}: its list of tensors takes {pickled.file_size:,} bytes, more than any model's")
        root = pickled.filename.removesuffix("data.pkl")
        held = {entry.filename.removeprefix(f"{root}data/"): entry.file_size for entry in entries}
        with archive.open(pickled) as stream:
            reader = _PickleReader(stream)
            content = reader.load()
    _refuse_code(file, reader)
    return _tensors(file, content, held)


def _of_legacy(file: Path, stream: BinaryIO) -> dict[str, TensorHeader] | None:
    """Read torch's legacy format: magic number, version, system, objects, data."""
    if _PickleReader(stream).load() != _LEGACY_MAGIC:
        return None
    _PickleReader(stream).load()
    _PickleReader(stream).load()
    reader = _PickleReader(stream)
    content = reader.load()
    _refuse_code(file, reader)
    return _tensors(file, content, None)


def _tensors(file: Path, content: Any, held: Mapping[str, int] | None) -> dict[str, TensorHeader] | None:
    """Return the tensors of unpickled content; ``held`` has the size of each storage, if known."""
    if not isinstance(content, Mapping):
        return None
    if content.get("state_dict_encrypted"):
        raise WeightsError(f"{file}: encrypted by TAO", hint="export it unencrypted, with no key in the spec")
    size = file.stat().st_size
    inner = innermost(content, lambda value: isinstance(value, _Tensor))
    found: dict[str, TensorHeader] = {}
    for name, tensor in inner.items():
        if not isinstance(tensor, _Tensor):
            continue
        most = held.get(tensor.storage.key, 0) if held is not None else size
        if math.prod(tensor.shape) > tensor.storage.count or tensor.storage.bytes > most:
            raise WeightsError(
                f"{file}: the tensor {str(name)[:80]!r} of shape {tensor.shape} has more numbers than the file holds",
                hint="save its tensors with .contiguous(), or use a safetensors file",
            )
        found[str(name)] = TensorHeader(tensor.shape, tensor.storage.count)
    if not found:
        raise no_tensors(file, content, lambda value: isinstance(value, _Tensor))
    _refuse_views(file, inner.values(), size)
    return _counted(file, found)


def _refuse_views(file: Path, tensors: Any, size: int) -> None:
    """Refuse many different views of the same data, which would be copied one by one."""
    views = {
        (tensor.storage.key, tensor.offset, tensor.shape): math.prod(tensor.shape)
        for tensor in tensors
        if isinstance(tensor, _Tensor)
    }
    if sum(views.values()) > 4 * size + 1_000_000:
        raise WeightsError(f"{file}: its tensors are views that stand for more numbers than the file holds")


def no_tensors(file: Path, content: Mapping[Any, Any], is_tensor: Callable[[Any], bool]) -> WeightsError:
    """Return the error for a file without tensors in the expected places."""
    if nests := unknown_nests(content, is_tensor):
        return WeightsError(
            f"{file}: its tensors lie under {', '.join(map(repr, nests[:5]))}, which no known tool writes",
            hint="save the one that is wanted as {'state_dict': ...}",
        )
    keys = ", ".join(str(key)[:60] for key in list(content)[:5]) or "none"
    return WeightsError(f"{file}: holds no tensors; its keys are {keys}")


def _refuse_code(file: Path, reader: _PickleReader) -> None:
    foreign = sorted(name for name in reader.foreign if not only_settings(name))
    if foreign:
        raise WeightsError(
            f"{file}: refused: it holds more than tensors, and loading it could run code ({foreign[0][:200]})",
            hint="use a safetensors file",
        )


@dataclass(slots=True, eq=False)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]


class _Object(Nothing):
    """A stand-in for any object; stores nothing."""

    def __call__(self, *_: Any, **__: Any) -> _Object:
        """Return itself as the result."""
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        """Ignore an entry."""

    def append(self, value: Any) -> None:
        """Forget an item."""

    def extend(self, values: Any) -> None:
        """Forget items."""

    def add(self, value: Any) -> None:
        """Forget an item."""


def _rebuilt(storage: Any, offset: Any, shape: Any, *_: Any) -> Any:
    return _Tensor(storage, int(offset), _shape(shape)) if isinstance(storage, _Storage) else _Object()


def _wrapped(tensor: Any, *_: Any) -> Any:
    return tensor


@dataclass(slots=True, eq=False)
class _Kind:
    """A storage type, by its item size."""

    bytes: int


class _PickleReader(pickle.Unpickler):
    """Unpickles without importing or calling anything that the pickle names."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self.foreign: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        """Return a stand-in for a name in a pickle."""
        full = f"{module}.{name}"
        if full in _KNOWN:
            return _KNOWN[full]
        if module in ("torch", "torch.storage", "torch.cuda") and name.endswith("Storage"):
            return _Kind(_STORAGES.get(name.removesuffix("Storage"), 1))
        if not (module == "torch" or full.startswith(_HARMLESS)):
            self.foreign.add(full)
        return _Object

    def persistent_load(self, pid: Any) -> Any:
        """Return the storage that a tensor refers to."""
        if isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage":
            width = pid[1].bytes if isinstance(pid[1], _Kind) else 1
            return _Storage(str(pid[2]), int(pid[4]), int(pid[4]) * width)
        return _Object()


_KNOWN: dict[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor": _rebuilt,
    "torch._utils._rebuild_tensor_v2": _rebuilt,
    "torch._utils._rebuild_tensor_v3": _rebuilt,
    "torch._utils._rebuild_parameter": _wrapped,
    "torch._utils._rebuild_parameter_with_state": _wrapped,
    "torch.Size": tuple,
    "torch._tensor._rebuild_from_type_v2": lambda function, kind, arguments, state: function(*arguments),
}


def all_headers(files: Iterable[Path]) -> dict[str, TensorHeader] | None:
    """Return the tensors of several files; None if only torch can read one of them."""
    found: dict[str, TensorHeader] = {}
    for file in files:
        headers = tensor_headers(file)
        if headers is None:
            return None
        found |= headers
    return found
