"""The look of the page, in light and in dark. Colours are variables; kinds of kernels differ in `--hue` alone."""

STYLE = """
:root { color-scheme: light dark; --paper: #fbfbfa; --card: #fff; --ink: #1c2024; --soft: #646b73; --rule: #dfe2e6;
  --line: #9aa3ad; --accent: #1665b0; --torch: #fdf0e1; --torch-rule: #d99545; --fill-light: 93%; --chip-light: 99%;
  --rule-light: 52%; --strength: 62%; --hue: 210; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --card: #1b1f23; --ink: #e4e7ea; --soft: #9aa3ad;
  --rule: #30363d; --line: #66707b; --accent: #6cb2f5; --torch: #33261a; --torch-rule: #b57a36; --fill-light: 19%;
  --chip-light: 26%; --rule-light: 50%; --strength: 38%; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 14px/1.5 system-ui, sans-serif; }
header, section { padding: 20px 28px; }
header { border-bottom: 1px solid var(--rule); background: var(--card); }
h1 { margin: 0 0 12px; font-size: 22px; } h2 { margin: 0 0 12px; font-size: 17px; }
h3 { margin: 22px 0 6px; font-size: 14px; }
h2 small, h3 small { color: var(--soft); font-weight: normal; font-size: 13px; margin-left: 8px; }
.totals { display: flex; flex-wrap: wrap; gap: 10px 34px; margin: 0; }
.totals div { display: flex; flex-direction: column-reverse; }
.totals dt { color: var(--soft); font-size: 12px; } .totals dd { margin: 0; font-size: 22px; font-weight: 600; }
.graph { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 6fr); gap: 24px; align-items: start; }
@media (max-width: 1000px) { .graph { grid-template-columns: minmax(0, 1fr); } }
.drawing { overflow: auto; max-height: 88vh; background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; position: sticky; top: 12px; }
.drawing svg { display: block; margin: 0 auto; }
.scroll { overflow: auto; max-height: 60vh; border: 1px solid var(--rule); border-radius: 8px;
  background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: 12.5px; }
th, td { text-align: left; vertical-align: top; padding: 5px 10px; border-bottom: 1px solid var(--rule); }
tr:last-child td { border-bottom: 0; }
th { position: sticky; top: 0; background: var(--card); color: var(--soft); font-weight: 600; white-space: nowrap; }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
code, .mono { font: 12px/1.5 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; overflow-wrap: break-word; }
.whole { white-space: nowrap; } .path { font-size: 11.5px; overflow-wrap: anywhere; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
.key { display: inline-block; min-width: 26px; padding: 0 6px; border-radius: 5px; text-align: center;
  color: var(--ink); background: var(--paper); border: 1px solid var(--line); }
.key.repeated { background: hsl(var(--hue) var(--strength) var(--fill-light));
  border-color: hsl(var(--hue) var(--strength) var(--rule-light)); }
.call { display: flex; flex-wrap: wrap; align-items: center; gap: 6px; padding: 6px 0; }
.call > span { color: var(--soft); } .stage { display: flex; flex-direction: column; gap: 3px; padding: 4px 6px;
  border: 1px solid var(--rule); border-radius: 7px; background: var(--card); max-width: 260px; }
.stage code { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bar { display: flex; height: 14px; border-radius: 5px; overflow: hidden; margin: 4px 0 6px; gap: 1px; }
.bar i { background: hsl(var(--part) var(--strength) var(--rule-light)); min-width: 2px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 0; font-size: 12.5px; }
.legend i { display: inline-block; width: 9px; height: 9px; border-radius: 2px; margin-right: 5px;
  background: hsl(var(--part) var(--strength) var(--rule-light)); }
.soft { color: var(--soft); } ul { margin: 0; padding: 8px 12px 8px 28px; }
details summary { cursor: pointer; color: var(--soft); margin-top: 22px; }
pre { overflow: auto; max-height: 60vh; padding: 12px; background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; font: 12px/1.5 ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
svg text { font: 11px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: var(--ink); }
svg .title { font-weight: 600; } svg .small { fill: var(--soft); } svg .op { text-anchor: middle; }
svg .label { fill: var(--soft); paint-order: stroke; stroke: var(--card); stroke-width: 4px; stroke-linejoin: round;
  pointer-events: none; }
svg .box { stroke-width: 1.3; fill: var(--card); stroke: var(--line); } svg .chip { fill: var(--card); stroke: none; }
svg .kernel .box, svg .matmul .box, svg .convolution .box, svg .pool .box, svg .scan .box,
svg .attention .box { fill: var(--paper); stroke: var(--ink); }
svg .repeated .box { fill: hsl(var(--hue) var(--strength) var(--fill-light));
  stroke: hsl(var(--hue) var(--strength) var(--rule-light)); }
svg .repeated .chip { fill: hsl(var(--hue) var(--strength) var(--chip-light)); }
svg .node:not(.repeated) .chip { stroke: var(--rule); }
svg .matmul .box, svg .convolution .box, svg .pool .box, svg .attention .box { stroke-width: 2.6; }
svg .torch .box { fill: var(--torch); stroke: var(--torch-rule); stroke-dasharray: 5 3; }
svg .edge { fill: none; stroke: var(--line); stroke-width: 1.4; }
svg .reach { fill: none; stroke: transparent; stroke-width: 12; }
svg .tensor:hover .edge { stroke: var(--accent); stroke-width: 2.4; }
svg .node:hover .box, svg .node:target .box { stroke: var(--accent); stroke-width: 2.6; }
svg marker path { fill: var(--line); }
"""
