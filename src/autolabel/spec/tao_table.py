"""Every key of TAO's ``auto_label`` spec (5.5 to 7.3): its type, and what it becomes in the native spec."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictBool, create_model

_Text: TypeAlias = str
_Flag: TypeAlias = StrictBool
_Whole = Annotated[int, Field(strict=True)]
_Natural = Annotated[int, Field(strict=True, ge=0)]
_Count = Annotated[int, Field(strict=True, ge=1)]
_Layers = Annotated[int, Field(strict=True, ge=1, le=12)]
_Number = Annotated[float, Field(strict=True)]
_Positive = Annotated[float, Field(strict=True, gt=0)]
_Weight = Annotated[float, Field(strict=True, ge=0)]
_Share = Annotated[float, Field(strict=True, ge=0, le=1)]
_Texts = list[_Text]
_Wholes = list[_Whole]
_Counts = list[_Count]
_Numbers = list[_Number]
_Three = Annotated[list[_Number], Field(min_length=3, max_length=3)]
_Pair = Annotated[list[_Weight], Field(min_length=2, max_length=2)]
_Folders = _Text | Annotated[list[_Text], Field(min_length=1)]
_Sources = dict[str, Any] | list[dict[str, Any]]

TYPES = ("mal", "grounding_dino", "image_grounding", "image_referring_expression")
UNSUPPORTED = ("video_reasoning_annotation", "vllm_captioning")
_Type = Literal["mal", "grounding_dino", "image_grounding", "image_referring_expression"]
_Backbone = Literal[
    "swin_tiny_224_1k",
    "swin_base_224_22k",
    "swin_base_384_22k",
    "swin_large_224_22k",
    "swin_large_384_22k",
    "resnet_50",
]

_TRAINING = "only acts in training"
_FROM_FILE = "the checkpoint decides it"
_NO_CAP = "the number of boxes is not capped here"
_TOP_LEVEL = "the top-level batch_size counts"
_KEPT = "answers are always kept, one for each request"
_OWN_RESUME = "a run resumes from its own results, and answers are kept"
_ONE_FORMAT = "annotations.jsonl is always written; the older .txt.step files are not"
_STEPS = "phrases are extracted from captions by rules, without a model; both steps always run"
_NOT_HERE = "has no counterpart here"


class _TaoSection(BaseModel):
    """A mapping of a TAO document; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class TaoRound(_TaoSection):
    """An entry of ``iteration_scheduler``."""

    conf_threshold: _Share = Field(description="this round finds boxes that score above it")
    nms_threshold: _Share = Field(0.0, description="boxes that overlap more than this are merged; 0: none are")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaoKey:
    """A key: its type, its native path (``to``; empty: handled by a rule, or unused), or why it has no effect."""

    path: str
    type: Any
    to: str = ""
    default: Any = None
    required: bool = False
    unused: str = ""

    @property
    def section(self) -> str:
        """The ``autolabel_type`` that the key belongs to; empty for those that belong to both."""
        first = self.path.partition(".")[0]
        return first if first in TYPES else ""


def _under(prefix: str, *rows: TaoKey) -> list[TaoKey]:
    return [replace(row, path=f"{prefix}.{row.path}") for row in rows]


def _row(path: str, type: Any, to: str = "", *, default: Any = None, required: bool = False) -> TaoKey:
    return TaoKey(path=path, type=type, to=to, default=default, required=required)


def _unused(why: str, type: Any, names: str) -> list[TaoKey]:
    return [TaoKey(path=name, type=type, unused=why) for name in names.split()]


def _model_rows(section: str) -> list[TaoKey]:
    """Return the keys of the model that is asked, which two kinds of document share."""
    return [
        _row(f"{section}.backend", Literal["gemini", "openai"]),
        *_under(
            f"{section}.gemini",
            *(_row(name, kind) for name, kind in (("api_key", _Text), ("model", _Text), ("temperature", _Weight))),
            *(_row(name, _Count) for name in ("max_output_tokens", "timeout")),
            *_unused(_NOT_HERE, _Text, "media_resolution"),
        ),
        *_under(
            f"{section}.openai",
            *(_row(name, kind) for name, kind in (("api_key", _Text), ("base_url", _Text), ("model_name", _Text))),
            _row("temperature", _Weight),
            *(_row(name, _Count) for name in ("max_tokens", "timeout")),
        ),
    ]


NATIVE = ("devices", "run", "export", "output", "report", "visualize", "commercial", "local_only")
"""Native keys that a TAO document and its overrides may also contain; they take precedence over TAO's own."""

ROWS: tuple[TaoKey, ...] = (
    _row("autolabel_type", _Type),
    _row("results_dir", _Text, "results_dir", required=True),
    _row("gpu_ids", Annotated[list[_Natural], Field(min_length=1)]),
    _row("num_gpus", _Count),
    _row("batch_size", _Count, "run.batch_size", default=4),
    _row("num_workers", _Natural, "run.num_workers", default=8),
    *(_row(name, Any, name) for name in NATIVE),
    *_under(
        "grounding_dino",
        _row("checkpoint", _Text, "stage.labeler.checkpoint", required=True),
        _row("results_dir", _Text, "results_dir"),
        _row("visualize", _Flag, "visualize", default=True),
        _row(
            "iteration_scheduler",
            Annotated[list[TaoRound], Field(min_length=1)],
            "stage.scheduler.rounds",
            default=[{"conf_threshold": 0.5, "nms_threshold": 0.0}],
        ),
        *_unused(_TRAINING, dict[str, Any], "train"),
    ),
    *_under(
        "grounding_dino.dataset",
        _row("image_dir", _Folders, "data.images", required=True),
        _row("class_names", _Texts, "data.classes"),
        _row("noun_chunk_path", _Text, "data.captions"),
        *_unused(_TRAINING, _Sources, "train_data_sources val_data_sources test_data_sources"),
        *_unused(_NOT_HERE, _Sources, "infer_data_sources"),
        *_unused(_TRAINING, _Text, "dataset_type"),
        *_unused(_TRAINING, _Count, "max_labels"),
        *_unused(_TRAINING, _Wholes, "eval_class_ids"),
        *_unused(_TOP_LEVEL, _Count, "batch_size"),
        *_unused(_NOT_HERE, _Natural, "workers"),
        *_unused(_NOT_HERE, _Flag, "pin_memory"),
    ),
    *_under(
        "grounding_dino.dataset.augmentation",
        # No defaults for sizes, mean and std: a TAO checkpoint carries its own (800, 1333 and so on).
        _row("test_random_resize", _Count, "stage.labeler.short_side"),
        _row("random_resize_max_size", _Count, "stage.labeler.long_side"),
        _row("input_mean", _Three, "stage.labeler.image_mean"),
        _row("input_std", Annotated[list[_Positive], Field(min_length=3, max_length=3)], "stage.labeler.image_std"),
        _row("fixed_padding", _Flag, "stage.labeler.padding", default=True),
        *_unused(_TRAINING, _Counts, "scales train_random_resize"),
        *_unused(_TRAINING, _Share, "horizontal_flip_prob"),
        *_unused(_TRAINING, _Count, "train_random_crop_min train_random_crop_max fixed_random_crop"),
    ),
    *_under(
        "grounding_dino.model",
        _row("backbone", _Backbone, "stage.labeler.backbone"),
        _row("num_queries", _Count, "stage.labeler.num_queries"),
        _row("text_encoder_type", _Text, "stage.labeler.text_encoder"),
        _row("max_text_len", _Count, "stage.labeler.max_text_len"),
        *(
            _row(name, type, f"stage.labeler.model.{name}")
            for name, type in {
                "num_feature_levels": Annotated[int, Field(strict=True, ge=1, le=5)],
                "hidden_dim": _Count,
                "nheads": _Count,
                "enc_layers": _Layers,
                "dec_layers": _Layers,
                "dim_feedforward": _Count,
                "enc_n_points": _Count,
                "dec_n_points": _Count,
                "two_stage_type": Literal["standard", "no"],
                "class_embed_bias": _Flag,
                "log_scale": Literal["auto", "none"] | _Number,
                "pe_temperatureH": _Count,
                "pe_temperatureW": _Count,
                "return_interm_indices": list[_Natural],
            }.items()
        ),
        *_unused(_NO_CAP, Annotated[int, Field(strict=True, ge=1, le=1000)], "num_select"),
        *_unused(_FROM_FILE, _Text, "pretrained_backbone_path"),
        *_unused(_FROM_FILE, _Flag, "pre_norm embed_init_tgt dilation"),
        *_unused(_FROM_FILE, Literal["sa", "ca_label", "ca_content"], "decoder_sa_type"),
        *_unused(_FROM_FILE, Annotated[int, Field(strict=True, ge=-2)], "fix_refpoints_hw"),
        *_unused(_TRAINING, _Weight, "set_cost_class set_cost_bbox set_cost_giou cls_loss_coef bbox_loss_coef"),
        *_unused(_TRAINING, _Weight, "giou_loss_coef dn_box_noise_scale dn_label_noise_ratio"),
        *_unused(_TRAINING, _Number, "interm_loss_coef focal_alpha focal_gamma clip_max_norm"),
        *_unused(_TRAINING, _Share, "dropout_ratio"),
        *_unused(_TRAINING, _Natural, "dn_number"),
        *_unused(_TRAINING, _Flag, "no_interm_box_loss use_dn aux_loss train_backbone precise_msda"),
        *_unused(_TRAINING, _Texts, "loss_types backbone_names linear_proj_names"),
    ),
    *_under(
        "mal",
        _row("checkpoint", _Text, "stage.labeler.checkpoint", required=True),
        _row("results_dir", _Text, "results_dir"),
        *_unused(_NOT_HERE, _Text, "strategy"),
    ),
    *_under(
        "mal.inference",
        _row("ann_path", _Text, "data.boxes", required=True),
        _row("img_dir", _Text, "data.images", required=True),
        _row("label_dump_path", _Text, "export", default="instances_val2017_mal.json"),
        *_unused(_TOP_LEVEL, _Count, "batch_size"),
        *_unused("`autolabel evaluate` compares masks", _Flag, "load_mask"),
        *_unused(_NOT_HERE, _Text, "checkpoint results_dir trt_engine"),
        *_unused(_NOT_HERE, _Count, "num_gpus num_nodes"),
        *_unused(_NOT_HERE, _Wholes, "gpu_ids"),
    ),
    *_under(
        "mal.model",
        _row("arch", _Text, "stage.labeler.arch"),
        _row("mask_head_num_convs", _Count, "stage.labeler.mask_head_num_convs"),
        _row("mask_head_hidden_channel", _Count, "stage.labeler.mask_head_hidden_channel"),
        _row("mask_head_out_channel", _Count, "stage.labeler.mask_head_out_channel"),
        _row("not_adjust_scale", _Flag, "stage.labeler.not_adjust_scale"),
        _row("mask_scale_ratio_pre", _Count, "stage.labeler.mask_scale_ratio_pre"),
        _row("mask_scale_ratio", _Positive, "stage.labeler.mask_scale_ratio"),
        *_unused(_TRAINING, _Wholes, "frozen_stages"),
        *_unused(_TRAINING, _Share, "teacher_momentum vit_dpr"),
    ),
    *_under(
        "mal.dataset",
        _row("crop_size", Annotated[int, Field(strict=True, ge=256)], "stage.labeler.crop_size"),
        *_unused("boxes are read as COCO", Literal["coco"], "type"),
        *_unused(_TRAINING, _Text, "train_ann_path train_img_dir val_ann_path val_img_dir"),
        *_unused(_TRAINING, _Weight, "min_obj_size max_obj_size"),
        *_unused(_NOT_HERE, _Natural, "num_workers_per_gpu"),
        *_unused(_TRAINING, _Flag, "load_mask"),
    ),
    *_under(
        "mal.train",
        _row("test_margin_rate", _Pair, "stage.labeler.test_margin_rate"),
        _row("mask_thres", Annotated[list[_Share], Field(min_length=1, max_length=3)], "stage.labeler.mask_thres"),
        _row("use_amp", _Flag, "stage.labeler.use_amp"),
        *_unused(_TRAINING, _Pair, "margin_rate"),
        *_unused(_TRAINING, _Numbers, "optim_betas"),
        *_unused(_TRAINING, _Text, "optim_type pretrained_model_path resume_training_checkpoint_path results_dir"),
        *_unused(_TRAINING, _Weight, "lr min_lr wd optim_eps num_wave loss_mil_weight loss_crf_weight crf_zeta"),
        *_unused(_TRAINING, _Share, "min_lr_rate optim_momentum crf_value_high_thres crf_value_low_thres"),
        *_unused(_TRAINING, _Natural, "warmup_epochs crf_num_iter loss_crf_step loss_mil_step crf_size_ratio"),
        *_unused(_TRAINING, _Count, "crf_kernel_size batch_size accum_grad_batches num_gpus num_nodes num_epochs"),
        *_unused(_TRAINING, _Count, "checkpoint_interval validation_interval"),
        *_unused(_TRAINING, _Wholes, "gpu_ids"),
        *_unused(_TRAINING, _Whole, "seed"),
        *_unused(_TRAINING, dict[str, Any], "cudnn"),
    ),
    *_under(
        "mal.evaluate",
        _row("use_mixed_model_test", _Flag),
        _row("use_teacher_test", _Flag),
        _row("use_flip_test", _Flag, "stage.labeler.flip"),
        *_unused("masks always keep all their parts", _Flag, "comp_clustering"),
        *_unused(_TOP_LEVEL, _Count, "batch_size"),
        *_unused(_NOT_HERE, _Text, "checkpoint results_dir trt_engine"),
        *_unused(_NOT_HERE, _Count, "num_gpus num_nodes"),
        *_unused(_NOT_HERE, _Wholes, "gpu_ids"),
    ),
    *_under(
        "image_grounding.data",
        _row("input_jsonl", _Text, "data.captions", required=True),
        _row("image_root", _Text, "data.images"),
    ),
    *_model_rows("image_grounding.vlm"),
    *_under(
        "image_grounding.workflow",
        _row("max_workers", _Count, "stage.labeler.concurrency", default=4),
        *_unused(_STEPS, list[_Text | _Natural], "steps"),
        *_unused(_KEPT, _Flag, "force_reprocess"),
        *_unused(_NOT_HERE, _Natural, "long_video_threshold_sec long_video_max_frames"),
        *_unused(_NOT_HERE, _Weight, "long_video_sample_fps"),
    ),
    *_under(
        "image_referring_expression.data",
        _row("image_dir", _Text, "data.images", required=True),
        _row("kitti_label_dir", _Text, "data.boxes", required=True),
        *_unused(_OWN_RESUME, _Text, "input_annotations_jsonl"),
    ),
    *_model_rows("image_referring_expression.vlm"),
    *_under(
        "image_referring_expression.workflow",
        _row("max_workers", _Count, "stage.labeler.concurrency", default=4),
        _row("steps", list[_Text | _Natural]),
        *_unused(_KEPT, _Flag, "force_reprocess"),
        *_unused(_ONE_FORMAT, Literal["jsonl", "legacy", "both"], "output_format"),
        *_unused(_NOT_HERE, _Natural, "long_video_threshold_sec long_video_max_frames"),
        *_unused(_NOT_HERE, _Weight, "long_video_sample_fps"),
    ),
)


@lru_cache(maxsize=1)
def tao_model() -> type[BaseModel]:
    """Return the table as a pydantic model of a TAO document, with every key optional."""
    tree: dict[str, Any] = {}
    for row in ROWS:
        *parents, name = row.path.split(".")
        branch = tree
        for part in parents:
            branch = branch.setdefault(part, {})
        branch[name] = row
    return _section("TaoSpec", tree)


def _section(name: str, tree: dict[str, Any]) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for key, entry in tree.items():
        if isinstance(entry, TaoKey):
            fields[key] = (entry.type, Field(None, description=_described(entry) or None))
        else:
            fields[key] = (_section(f"{name}_{key}", entry), None)
    return create_model(name, __base__=_TaoSection, **fields)


def _described(row: TaoKey) -> str:
    if row.unused:
        return f"accepted, has no effect: {row.unused}"
    text = f"becomes {row.to.replace('stage.', 'stages[0].')}" if row.to else ""
    return text if row.default is None else f"{text}; {row.default} unless given"
