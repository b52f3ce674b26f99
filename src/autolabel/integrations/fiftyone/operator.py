"""An operator that labels the samples of a view, at once or delegated."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

from autolabel.integrations.fiftyone.datasets import FIELD
from autolabel.integrations.fiftyone.model import Model


class LabelWithAutolabel(foo.Operator):  # type: ignore[misc]
    """Labels the current view with a spec."""

    @property
    def config(self) -> Any:
        """The operator's name and label in FiftyOne."""
        return foo.OperatorConfig(
            name="label_with_autolabel",
            label="Label with autolabel",
            dynamic=True,
            allow_immediate_execution=True,
            allow_delegated_execution=True,
        )

    def resolve_input(self, ctx: Any) -> Any:
        """Ask for the spec, the field, and the classes."""
        inputs = types.Object()
        inputs.str("spec", required=True, label="Spec", description="The file of a spec, or the folder of a run")
        inputs.str("field", default=FIELD, required=True, label="Field that takes the labels")
        inputs.list("classes", types.String(), required=False, label="Classes in place of the spec's")
        inputs.view_target(ctx)
        return types.Property(inputs, view=types.View(label="Label with autolabel"))

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Label the chosen samples; samples that fail are left as they are."""
        view, field = ctx.target_view(), ctx.params.get("field") or FIELD
        model = Model(ctx.params["spec"], classes=ctx.params.get("classes") or None)
        try:
            view.apply_model(model, label_field=field, skip_failures=True)
        finally:
            model.close()
        if not ctx.delegated:
            ctx.ops.reload_dataset()
        return {"labelled": len(view), "field": field}

    def resolve_output(self, ctx: Any) -> Any:
        """Tell how many samples were labelled."""
        outputs = types.Object()
        outputs.int("labelled", label="Samples")
        outputs.str("field", label="Field")
        return types.Property(outputs)
