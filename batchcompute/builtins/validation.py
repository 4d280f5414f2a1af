"""Descriptions are checked before they are sent, within the ranges of their region."""

from __future__ import annotations

from ..errors import Problem
from ..hooks import ValidationContext, hookimpl
from ..values.validation import check_job


@hookimpl(trylast=True)
def validate_description(ctx: ValidationContext) -> list[Problem]:
    """Every problem at once (reference section 2.1)."""
    return check_job(ctx.description, ctx.region.ranges)
