"""Style sheet of a report, for light and dark screens and for paper.

The --c names are the colors of the charts: Okabe and Ito's, which color-blind readers can tell
apart.
"""

STYLESHEET = """
:root { --page: #fdfdfc; --card: #fff; --ink: #1d2226; --muted: #5b6670; --rule: #dfe3e6;
  --grid: #ebeef0;
  --c-blue: #0072b2; --c-orange: #d55e00; --c-green: #008a65; --c-purple: #a8568a;
  --warn: #fbf1e4; }
@media (prefers-color-scheme: dark) { :root { --page: #14181b; --card: #1b2024; --ink: #e4e8eb;
  --muted: #9aa6af;
  --rule: #333b41; --grid: #2a3136; --c-blue: #5db8ee; --c-orange: #f0914d; --c-green: #3ec79d;
  --c-purple: #dd9cc4;
  --warn: #33291c; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial,
  sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 2.5rem 1.5rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .75rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 3rem 0 1rem; padding-top: .9rem;
  border-top: 1px solid var(--rule); }
h3 { font-size: .95rem; margin: 0; }
p { max-width: 76ch; margin: .5rem 0; overflow-wrap: anywhere; }
.lead { font-size: 1.1rem; }
.note, figcaption { color: var(--muted); font-size: .85rem; line-height: 1.45; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: 1rem;
  margin: 1.5rem 0 0; }
.tile { border-left: 3px solid var(--c-blue); padding: .1rem 0 .1rem .8rem; }
.tile b { display: block; font-size: 1.2rem; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 2rem 2rem; }
.charts > .wide { grid-column: 1 / -1; }
figure { margin: 0; }
figure svg { display: block; width: 100%; height: auto; margin: .35rem 0 .25rem; }
figure svg text { font-family: inherit !important; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem 1.4rem .4rem 0; border-bottom: 1px solid var(--rule);
  vertical-align: top; }
thead th { color: var(--muted); font-weight: 500; }
tbody th { font-weight: 600; white-space: nowrap; }
.warnings { background: var(--warn); width: 100%; }
.warnings th, .warnings td { padding-left: .8rem; }
.gallery { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1.25rem 2rem; }
.card { background: var(--card); border: 1px solid var(--rule); border-left: 3px solid var(--muted);
  border-radius: 4px; padding: .7rem .9rem; margin-top: .8rem; }
.right { border-left-color: var(--c-blue); }
.wrong { border-left-color: var(--c-orange); }
pre, code { font: .82rem/1.45 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono",
  monospace; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; margin: .3rem 0;
  max-height: 17rem; overflow: auto; }
pre.prompt { color: var(--muted); }
details { margin: .6rem 0; }
summary { cursor: pointer; font-weight: 600; }
dl, ol { margin: .2rem 0 .2rem 1.1rem; padding: 0; }
dl > div { display: flex; flex-wrap: wrap; gap: 0 .6rem; }
dl > div:has(> dd > dl) { display: block; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 760px) { .charts, .gallery { grid-template-columns: minmax(0, 1fr); } }
@media print { main { max-width: none; padding: 0; } figure, .card { break-inside: avoid; } }
"""
