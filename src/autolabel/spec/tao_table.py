"""Every key of TAO's ``auto_label`` spec (5.5 to 7.3): its type, and what it becomes in the native spec."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictBool, create_model

Text: TypeAlias = str
Flag: TypeAlias = StrictBool
Whole = Annotated[int, Field(strict=True)]
Natural = Annotated[int, Field(strict=True, ge=0)]
Count = Annotated[int, Field(strict=True, ge=1)]
Layers = Annotated[int, Field(strict=True, ge=1, le=12)]
Number = Annotated[float, Field(strict=True)]
Positive = Annotated[float, Field(strict=True, gt=0)]
Weight = Annotated[float, Field(strict=True, ge=0)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Texts = list[Text]
Wholes = list[Whole]
Counts = list[Count]
Numbers = list[Number]
Three = Annotated[list[Number], Field(min_length=3, max_length=3)]
Pair = Annotated[list[Weight], Field(min_length=2, max_length=2)]
Folders = Text | Annotated[list[Text], Field(min_length=1)]
Sources = dict[str, Any] | list[dict[str, Any]]

TYPES = ("mal", "grounding_dino")
UNSUPPORTED = ("video_reasoning_annotation", "image_grounding", "image_referring_expression", "vllm_captioning")
Type = Literal["mal", "grounding_dino"]
Backbone = Literal[
    "swin_tiny_224_1k",
    "swin_base_224_22k",
    "swin_base_384_22k",
    "swin_large_224_22k",
    "swin_large_384_22k",
    "resnet_50",
]

TRAINING = "only acts in training"
FROM_FILE = "the checkpoint decides it"
NO_CAP = "the number of boxes is not capped here"
TOP_LEVEL = "the top-level batch_size counts"
NOT_HERE = "has no counterpart here"


class Section(BaseModel):
    """A mapping of a TAO document: its keys are known."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


class TaoRound(Section):
    """An entry of ``iteration_scheduler``."""

    conf_threshold: Share = Field(description="boxes that score above it are found in this round")
    nms_threshold: Share = Field(0.0, description="boxes that overlap more than this are merged; 0: none are")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A key: what it may hold, where it goes (``to``; empty: handled by a rule, or unused), or why it has no effect."""

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


def _under(prefix: str, *rows: Row) -> list[Row]:
    return [replace(row, path=f"{prefix}.{row.path}") for row in rows]


def _row(path: str, type: Any, to: str = "", *, default: Any = None, required: bool = False) -> Row:
    return Row(path=path, type=type, to=to, default=default, required=required)


def _unused(why: str, type: Any, names: str) -> list[Row]:
    return [Row(path=name, type=type, unused=why) for name in names.split()]


NATIVE = ("devices", "run", "export", "output", "report", "visualize", "commercial")
"""Native keys that a TAO document, and its overrides, may hold as well; they beat TAO's own."""

ROWS: tuple[Row, ...] = (
    _row("autolabel_type", Type),
    _row("results_dir", Text, "results_dir", required=True),
    _row("gpu_ids", Annotated[list[Natural], Field(min_length=1)]),
    _row("num_gpus", Count),
    _row("batch_size", Count, "run.batch_size", default=4),
    _row("num_workers", Natural, "run.num_workers", default=8),
    *(_row(name, Any, name) for name in NATIVE),
    *_under(
        "grounding_dino",
        _row("checkpoint", Text, "stage.labeler.checkpoint", required=True),
        _row("results_dir", Text, "results_dir"),
        _row("visualize", Flag, "visualize", default=True),
        _row(
            "iteration_scheduler",
            Annotated[list[TaoRound], Field(min_length=1)],
            "stage.scheduler.rounds",
            default=[{"conf_threshold": 0.5, "nms_threshold": 0.0}],
        ),
        *_unused(TRAINING, dict[str, Any], "train"),
    ),
    *_under(
        "grounding_dino.dataset",
        _row("image_dir", Folders, "data.images", required=True),
        _row("class_names", Texts, "data.classes"),
        _row("noun_chunk_path", Text, "data.captions"),
        *_unused(TRAINING, Sources, "train_data_sources val_data_sources test_data_sources"),
        *_unused(NOT_HERE, Sources, "infer_data_sources"),
        *_unused(TRAINING, Text, "dataset_type"),
        *_unused(TRAINING, Count, "max_labels"),
        *_unused(TRAINING, Wholes, "eval_class_ids"),
        *_unused(TOP_LEVEL, Count, "batch_size"),
        *_unused(NOT_HERE, Natural, "workers"),
        *_unused(NOT_HERE, Flag, "pin_memory"),
    ),
    *_under(
        "grounding_dino.dataset.augmentation",
        # No defaults for sizes, mean and std: the checkpoint's own are TAO's 800, 1333 and so on where it is TAO's.
        _row("test_random_resize", Count, "stage.labeler.short_side"),
        _row("random_resize_max_size", Count, "stage.labeler.long_side"),
        _row("input_mean", Three, "stage.labeler.image_mean"),
        _row("input_std", Annotated[list[Positive], Field(min_length=3, max_length=3)], "stage.labeler.image_std"),
        _row("fixed_padding", Flag, "stage.labeler.padding", default=True),
        *_unused(TRAINING, Counts, "scales train_random_resize"),
        *_unused(TRAINING, Share, "horizontal_flip_prob"),
        *_unused(TRAINING, Count, "train_random_crop_min train_random_crop_max fixed_random_crop"),
    ),
    *_under(
        "grounding_dino.model",
        _row("backbone", Backbone, "stage.labeler.backbone"),
        _row("num_queries", Count, "stage.labeler.num_queries"),
        _row("text_encoder_type", Text, "stage.labeler.text_encoder"),
        _row("max_text_len", Count, "stage.labeler.max_text_len"),
        *(
            _row(name, type, f"stage.labeler.model.{name}")
            for name, type in {
                "num_feature_levels": Annotated[int, Field(strict=True, ge=1, le=5)],
                "hidden_dim": Count,
                "nheads": Count,
                "enc_layers": Layers,
                "dec_layers": Layers,
                "dim_feedforward": Count,
                "enc_n_points": Count,
                "dec_n_points": Count,
                "two_stage_type": Literal["standard", "no"],
                "class_embed_bias": Flag,
                "log_scale": Literal["auto", "none"] | Number,
                "pe_temperatureH": Count,
                "pe_temperatureW": Count,
                "return_interm_indices": list[Natural],
            }.items()
        ),
        *_unused(NO_CAP, Annotated[int, Field(strict=True, ge=1, le=1000)], "num_select"),
        *_unused(FROM_FILE, Text, "pretrained_backbone_path"),
        *_unused(FROM_FILE, Flag, "pre_norm embed_init_tgt dilation"),
        *_unused(FROM_FILE, Literal["sa", "ca_label", "ca_content"], "decoder_sa_type"),
        *_unused(FROM_FILE, Annotated[int, Field(strict=True, ge=-2)], "fix_refpoints_hw"),
        *_unused(TRAINING, Weight, "set_cost_class set_cost_bbox set_cost_giou cls_loss_coef bbox_loss_coef"),
        *_unused(TRAINING, Weight, "giou_loss_coef dn_box_noise_scale dn_label_noise_ratio"),
        *_unused(TRAINING, Number, "interm_loss_coef focal_alpha focal_gamma clip_max_norm"),
        *_unused(TRAINING, Share, "dropout_ratio"),
        *_unused(TRAINING, Natural, "dn_number"),
        *_unused(TRAINING, Flag, "no_interm_box_loss use_dn aux_loss train_backbone precise_msda"),
        *_unused(TRAINING, Texts, "loss_types backbone_names linear_proj_names"),
    ),
    *_under(
        "mal",
        _row("checkpoint", Text, "stage.labeler.checkpoint", required=True),
        _row("results_dir", Text, "results_dir"),
        *_unused(NOT_HERE, Text, "strategy"),
    ),
    *_under(
        "mal.inference",
        _row("ann_path", Text, "data.boxes", required=True),
        _row("img_dir", Text, "data.images", required=True),
        _row("label_dump_path", Text, "export", default="instances_val2017_mal.json"),
        *_unused(TOP_LEVEL, Count, "batch_size"),
        *_unused("`autolabel evaluate` compares masks", Flag, "load_mask"),
        *_unused(NOT_HERE, Text, "checkpoint results_dir trt_engine"),
        *_unused(NOT_HERE, Count, "num_gpus num_nodes"),
        *_unused(NOT_HERE, Wholes, "gpu_ids"),
    ),
    *_under(
        "mal.model",
        _row("arch", Text, "stage.labeler.arch"),
        _row("mask_head_num_convs", Count, "stage.labeler.mask_head_num_convs"),
        _row("mask_head_hidden_channel", Count, "stage.labeler.mask_head_hidden_channel"),
        _row("mask_head_out_channel", Count, "stage.labeler.mask_head_out_channel"),
        _row("not_adjust_scale", Flag, "stage.labeler.not_adjust_scale"),
        _row("mask_scale_ratio_pre", Count, "stage.labeler.mask_scale_ratio_pre"),
        _row("mask_scale_ratio", Positive, "stage.labeler.mask_scale_ratio"),
        *_unused(TRAINING, Wholes, "frozen_stages"),
        *_unused(TRAINING, Share, "teacher_momentum vit_dpr"),
    ),
    *_under(
        "mal.dataset",
        _row("crop_size", Annotated[int, Field(strict=True, ge=256)], "stage.labeler.crop_size"),
        *_unused("boxes are read as COCO", Literal["coco"], "type"),
        *_unused(TRAINING, Text, "train_ann_path train_img_dir val_ann_path val_img_dir"),
        *_unused(TRAINING, Weight, "min_obj_size max_obj_size"),
        *_unused(NOT_HERE, Natural, "num_workers_per_gpu"),
        *_unused(TRAINING, Flag, "load_mask"),
    ),
    *_under(
        "mal.train",
        _row("test_margin_rate", Pair, "stage.labeler.test_margin_rate"),
        _row("mask_thres", Annotated[list[Share], Field(min_length=1, max_length=3)], "stage.labeler.mask_thres"),
        _row("use_amp", Flag, "stage.labeler.use_amp"),
        *_unused(TRAINING, Pair, "margin_rate"),
        *_unused(TRAINING, Numbers, "optim_betas"),
        *_unused(TRAINING, Text, "optim_type pretrained_model_path resume_training_checkpoint_path results_dir"),
        *_unused(TRAINING, Weight, "lr min_lr wd optim_eps num_wave loss_mil_weight loss_crf_weight crf_zeta"),
        *_unused(TRAINING, Share, "min_lr_rate optim_momentum crf_value_high_thres crf_value_low_thres"),
        *_unused(TRAINING, Natural, "warmup_epochs crf_num_iter loss_crf_step loss_mil_step crf_size_ratio"),
        *_unused(TRAINING, Count, "crf_kernel_size batch_size accum_grad_batches num_gpus num_nodes num_epochs"),
        *_unused(TRAINING, Count, "checkpoint_interval validation_interval"),
        *_unused(TRAINING, Wholes, "gpu_ids"),
        *_unused(TRAINING, Whole, "seed"),
        *_unused(TRAINING, dict[str, Any], "cudnn"),
    ),
    *_under(
        "mal.evaluate",
        _row("use_mixed_model_test", Flag),
        _row("use_teacher_test", Flag),
        _row("use_flip_test", Flag, "stage.labeler.flip"),
        *_unused("a mask keeps all its parts here", Flag, "comp_clustering"),
        *_unused(TOP_LEVEL, Count, "batch_size"),
        *_unused(NOT_HERE, Text, "checkpoint results_dir trt_engine"),
        *_unused(NOT_HERE, Count, "num_gpus num_nodes"),
        *_unused(NOT_HERE, Wholes, "gpu_ids"),
    ),
)


@lru_cache(maxsize=1)
def tao_model() -> type[BaseModel]:
    """Return the table as a pydantic model: what a TAO document may hold, every key optional."""
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
        if isinstance(entry, Row):
            fields[key] = (entry.type, Field(None, description=_described(entry) or None))
        else:
            fields[key] = (_section(f"{name}_{key}", entry), None)
    return create_model(name, __base__=Section, **fields)


def _described(row: Row) -> str:
    if row.unused:
        return f"accepted, has no effect: {row.unused}"
    text = f"becomes {row.to.replace('stage.', 'stages[0].')}" if row.to else ""
    return text if row.default is None else f"{text}; {row.default} unless given"
