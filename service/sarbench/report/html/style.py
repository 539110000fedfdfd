"""Stylesheet of the page: one column of tables, panels in a grid, light or dark by the reader's preference."""

from __future__ import annotations

STYLESHEET = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #5d6675; --line: #dfe3ea; --paper: #fff; --panel: #f6f7f9;
  --good: #1b7f5c; --bad: #b3382c; --warn-ink: #7a4b00; --warn: #fff3da;
  --c0: #1f5fa8; --c1: #c8641b; --c2: #3d8a52; --c3: #8a4fa3; --c4: #a8324a; --c5: #7a7f87; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ef; --soft: #9aa4b5; --line: #303846; --paper: #12161d;
  --panel: #1a2029; --good: #54c79a; --bad: #f0897d; --warn-ink: #ffd48a; --warn: #3a2c10;
  --c0: #6eb0ff; --c1: #ff9d5c; --c2: #74d18f; --c3: #cb9be3; --c4: #ff8aa0; --c5: #a3a9b3; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 5rem; max-width: 76rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
h2 { font-size: 1.3rem; margin: 3rem 0 .4rem; padding-top: 1rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 0 0 .4rem; }
p { max-width: 46rem; margin: .4rem 0 1rem; } .soft, small { color: var(--soft); }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; margin: .6rem 0 1.2rem; font-variant-numeric: tabular-nums; }
th, td { padding: .42rem 1rem .42rem 0; text-align: right; vertical-align: baseline;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); font-size: .86rem; }
.words { text-align: left; } .runs td.words { overflow-wrap: anywhere; } td:not(.words) { white-space: nowrap; }
td small.left-out { color: var(--warn-ink); } td small { display: block; font-size: .76rem; line-height: 1.2; }
tr.overall td { font-weight: 650; border-bottom: 2px solid var(--ink); } tr.overall small { font-weight: 400; }
tr.dim td { color: var(--soft); }
.key::before { content: ""; display: inline-block; width: .7rem; height: .7rem; margin-right: .45rem;
  border-radius: 50%; background: currentColor; }
.beside { display: flex; flex-wrap: wrap; gap: 1rem 3rem; align-items: flex-start; }
.published { background: var(--panel); border-radius: 8px; padding: .8rem 1.2rem .2rem; flex: 1 1 22rem;
  max-width: 100%; min-width: 0; } .beside > * { min-width: 0; max-width: 100%; }
.warn { background: var(--warn); color: var(--warn-ink); border-radius: 8px; padding: .6rem 1rem; max-width: none; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(21rem, 1fr)); gap: 1rem; }
.grow { flex: 1 1 22rem; } .fit { width: fit-content; max-width: 100%; } .fit svg { width: 30rem; }
.panel { background: var(--panel); border-radius: 8px; padding: 1rem 1.2rem; overflow-x: auto; }
svg { display: block; width: 100%; height: auto; font-size: 12px; } svg text { fill: var(--ink); }
svg .grid { stroke: var(--line); } svg .tick { fill: var(--soft); font-size: 11px; text-anchor: middle; }
svg .name, svg .value { text-anchor: end; } svg .value { font-weight: 600; }
svg .range { stroke: currentColor; stroke-width: 4; stroke-opacity: .35; stroke-linecap: round; }
svg circle { fill: currentColor; } svg .bar { fill: var(--c0); }
svg .cell { fill: var(--bad); } svg .cell.right { fill: var(--good); }
svg .count { text-anchor: middle; font-size: 11px; } svg .count.strong { fill: var(--paper); }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); }
.c4 { color: var(--c4); } .c5 { color: var(--c5); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(13.5rem, 1fr)); gap: 1.1rem; }
.card { margin: 0; background: var(--panel); border-radius: 8px; overflow: hidden; font-size: .86rem;
  line-height: 1.4; }
.card .box { fill: none; stroke: #ffd23f; stroke-width: 1.5; vector-effect: non-scaling-stroke; }
.card .missing { aspect-ratio: 1; display: grid; place-items: center; color: var(--soft); }
.card figcaption { padding: .6rem .8rem .8rem; overflow-wrap: anywhere; } .card p { margin: .15rem 0; }
.card .tag { color: var(--soft); font-size: .76rem; } .card .truth { color: var(--good); }
.card .answer { color: var(--bad); }
@media print { body { max-width: none; padding: 0; font-size: 11px; } .panel, .card, tr { break-inside: avoid; }
  h2 { break-after: avoid; } .scroll { overflow: visible; } }
"""
