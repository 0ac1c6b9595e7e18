"""How a panel of ours looks: small functions over the SDK, so that `release` and `health` only say what is asked.

Every panel has a title, a description (what it tells, and what to do about it), a unit and thresholds. Those that are
asked for without thresholds get a single green one, which colours nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import TypeAlias, TypeVar

from grafana_foundation_sdk.builders import bargauge, dashboard, heatmap, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import common as look
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common, units
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

Panel: TypeAlias = Builder[model.Panel]
_P = TypeVar("_P", timeseries.Panel, stat.Panel, statetimeline.Panel, heatmap.Panel, bargauge.Panel)

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
DOCS = "https://docs.example.com/reconciler"
"""Where the links lead unless the chart, or whoever imports the dashboard, says where docs/ is published."""

WIDTH = 24
"""Columns of Grafana's grid."""
HEIGHT = 8

GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the panels below it, which fill lines of 24 columns."""

    title: str
    panels: Sequence[Panel]


def query(expr: str, legend: str = "", *, instant: bool = False, heat: bool = False) -> prometheus.Dataquery:
    """One query. `legend` may name labels as `{{label}}`; `heat`: the buckets of a histogram."""
    made = prometheus.Dataquery().expr(expr).datasource(SOURCE).legend_format(legend or "__auto").ref_id("A")
    made = made.format(PromQueryFormat.HEATMAP) if heat else made
    return made.instant() if instant else made.range()


def thresholds(*steps: tuple[float, str], base: str = GREEN) -> dashboard.ThresholdsConfig:
    """`base` below the first step; each step's colour from its value on."""
    first = model.Threshold(value=None, color=base)
    return (
        dashboard.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps([first, *(model.Threshold(value=value, color=colour) for value, colour in steps)])
    )


def graph(
    title: str,
    says: str,
    unit: str,
    *queries: prometheus.Dataquery,
    span: int = 12,
    limits: dashboard.ThresholdsConfig | None = None,
    bars: bool = False,
) -> timeseries.Panel:
    """Lines over time, from zero; `limits` are drawn as dashed lines. `bars`: stacked, for what is counted."""
    made = _titled(timeseries.Panel(), title, says, unit, span)
    made = made.min(0).show_points(common.VisibilityMode.NEVER).line_width(1)
    made = made.fill_opacity(60 if bars else 10).draw_style(
        common.GraphDrawStyle.BARS if bars else common.GraphDrawStyle.LINE
    )
    if bars:
        made = made.stacking(look.StackingConfig().mode(common.StackingMode.NORMAL))
    if limits:
        made = made.thresholds_style(look.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED))
    made = made.thresholds(limits or thresholds()).color_scheme(
        dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC)
    )
    made = made.tooltip(look.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI)).legend(
        look.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    for letter, each in zip(ascii_uppercase, queries, strict=False):
        made = made.with_target(each.ref_id(letter))
    return made


def number(
    title: str, says: str, unit: str, asked: prometheus.Dataquery, limits: dashboard.ThresholdsConfig, *, span: int = 4
) -> stat.Panel:
    """One number as it is now, on its threshold's colour, over its course."""
    return (
        _titled(stat.Panel(), title, says, unit, span)
        .height(4)
        .thresholds(limits)
        .color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .graph_mode(common.BigValueGraphMode.AREA)
        .reduce_options(look.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .with_target(asked)
    )


def states(
    title: str, says: str, asked: prometheus.Dataquery, shown: Sequence[tuple[int, str, str]], *, span: int = WIDTH
) -> statetimeline.Panel:
    """A bar per series, coloured by what the value stands for: `shown` is (value, text, colour)."""
    mapping = model.ValueMap(
        options={
            str(value): model.ValueMappingResult(text=text, color=colour, index=place)
            for place, (value, text, colour) in enumerate(shown)
        }
    )
    return (
        _titled(statetimeline.Panel(), title, says, units.NoUnit, span)
        .mappings([mapping])
        .thresholds(thresholds())
        .color_scheme(dashboard.FieldColor().mode(model.FieldColorModeId.THRESHOLDS))
        .merge_values(True)
        .show_value(common.VisibilityMode.AUTO)
        .row_height(0.8)
        .with_target(asked)
    )


def heat(title: str, says: str, unit: str, asked: prometheus.Dataquery, *, span: int = 12) -> heatmap.Panel:
    """A histogram over time: the darker, the more of it took so long."""
    return (
        _titled(heatmap.Panel(), title, says, unit, span)
        .thresholds(thresholds())
        .calculate(False)
        .color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").steps(32))
        .y_axis(heatmap.YAxisConfig().unit(unit).axis_placement(common.AxisPlacement.LEFT))
        .with_target(asked)
    )


def ranking(
    title: str, says: str, unit: str, asked: prometheus.Dataquery, link: tuple[str, str], *, span: int = 12
) -> bargauge.Panel:
    """A bar per series, as it is now. `link` is (title, address), for a click on a bar."""
    name, address = link
    return (
        _titled(bargauge.Panel(), title, says, unit, span)
        .orientation(common.VizOrientation.HORIZONTAL)
        .display_mode(common.BarGaugeDisplayMode.BASIC)
        .min(0)
        .thresholds(thresholds(base=BLUE))
        .reduce_options(look.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .data_links([dashboard.DashboardLink(name).type(model.DashboardLinkType.LINK).url(address).target_blank(True)])
        .with_target(asked)
    )


def _titled(panel: _P, title: str, says: str, unit: str, span: int) -> _P:
    return panel.title(title).description(says).unit(unit).datasource(SOURCE).span(span).height(HEIGHT)
