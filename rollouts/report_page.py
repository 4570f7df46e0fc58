"""The frame of `report.html`: its style sheet and the order of its parts."""

from __future__ import annotations

STYLE = """
:root {
  --paper: #fbfaf8; --card: #ffffff; --ink: #1d2125; --soft: #626a72; --line: #e4e1da;
  --good: #0f766e; --good-soft: #b9dfd9; --bad: #c2562b; --bad-soft: #f4ddd2; --error: #8a6d00;
  color-scheme: light dark;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --card: #1b1f23; --ink: #e8e6e1; --soft: #98a1a9; --line: #2d3338;
    --good: #4fc3b4; --good-soft: #1f4f4a; --bad: #e58a63; --bad-soft: #4a2a1d; --error: #d9b93d;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums; -webkit-text-size-adjust: 100%;
}
main { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
header p, .note, figcaption, footer { color: var(--soft); }
.note, figcaption, footer { font-size: .875rem; }
h1 { font-size: 1.125rem; font-weight: 600; margin: 0; }
h2 { font-size: 1.0625rem; font-weight: 600; margin: 3rem 0 .75rem; }
p { margin: .25rem 0; }
.headline { font-size: clamp(3.25rem, 14vw, 5.5rem); line-height: 1; font-weight: 650;
  letter-spacing: -.03em; margin: 1.75rem 0 .75rem; }
.headline small { font-size: .45em; font-weight: 500; letter-spacing: 0; color: var(--soft); }
.bar { position: relative; height: .5rem; border-radius: .25rem; background: var(--line); }
.bar i { position: absolute; top: 0; bottom: 0; border-radius: .25rem; background: var(--good-soft); }
.bar b { position: absolute; top: -.1875rem; bottom: -.1875rem; width: .25rem; margin-left: -.125rem;
  border-radius: .125rem; background: var(--good); }
.big { height: .75rem; margin: 1rem 0 .375rem; }
.scale { display: flex; justify-content: space-between; font-size: .75rem; color: var(--soft); }
.tasks { border-top: 1px solid var(--line); }
.task { display: grid; grid-template-columns: minmax(0, 1fr) 11rem 4.25rem 4.5rem 4.5rem; gap: 0 1.25rem;
  align-items: center; padding: .625rem 0; border-bottom: 1px solid var(--line); }
.task > span { text-align: right; white-space: nowrap; }
.task .name { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.task .name em { font-style: normal; color: var(--soft); display: inline-block; min-width: 1.75rem; }
.head span:nth-child(2) { text-align: left; }
.head { font-size: .8125rem; color: var(--soft); border-bottom-width: 1px; padding: .375rem 0; }
.all { font-weight: 600; border-bottom: 0; }
.scroll { overflow-x: auto; padding-bottom: .25rem; }
.far { border-collapse: collapse; font-size: .875rem; }
.far th, .far td { padding: .375rem .75rem .375rem 0; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
.far th { font-weight: 400; color: var(--soft); }
.far tbody th { text-align: left; color: var(--ink); white-space: normal; }
.matrix { border-spacing: 3px; margin-left: -3px; }
.matrix th { font-weight: 400; font-size: .75rem; color: var(--soft); text-align: right;
  padding-right: .375rem; }
.matrix thead th { text-align: center; padding: 0; min-width: 1.5rem; }
.matrix td { width: 1.5rem; height: 1.5rem; min-width: 1.5rem; border-radius: .25rem; text-align: center;
  line-height: 1.5rem; font-size: .8125rem; padding: 0; }
.success { background: var(--good-soft); color: var(--good); }
.failure { background: var(--bad-soft); color: var(--bad); }
.error { box-shadow: inset 0 0 0 1.5px var(--error); color: var(--error); font-weight: 700; }
.none { background: var(--line); opacity: .4; }
.legend span { display: inline-block; width: 1.25rem; height: 1.25rem; line-height: 1.25rem;
  border-radius: .25rem; text-align: center; font-size: .75rem; margin: 0 .25rem 0 .75rem;
  vertical-align: middle; }
.legend span:first-child { margin-left: 0; }
figure { margin: 0 0 1.25rem; }
figure img { display: block; width: 100%; height: auto; border-radius: .375rem; }
figcaption { margin-top: .375rem; }
figcaption strong { font-weight: 600; }
.seen img { display: block; height: 14rem; max-width: 100%; object-fit: contain; object-position: left;
  border-radius: .375rem; margin-top: .5rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1px;
  background: var(--line); border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; }
.facts div { background: var(--card); padding: .75rem .875rem; }
.facts dt { font-size: .8125rem; color: var(--soft); }
.facts dd { margin: 0; font-size: 1.125rem; font-weight: 600; }
dl { margin: 0; }
.split { display: flex; height: 1.25rem; border-radius: .25rem; overflow: hidden;
  margin: 1rem 0 .5rem; gap: 2px; }
.split i { display: block; min-width: 2px; }
.keys { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; }
.keys i { display: inline-block; width: .75rem; height: .75rem; border-radius: .1875rem;
  margin-right: .375rem; vertical-align: -.0625rem; }
.c0 { background: #2f7f92; } .c1 { background: #d08b3c; } .c2 { background: #7a6fb0; }
.c3 { background: #7d8b6a; }
.c4 { background: #9aa3aa; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .75rem .875rem;
  font: .8125rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-x: auto; margin: 0; }
pre.wrap { white-space: pre-wrap; overflow-wrap: anywhere; }
details { border-top: 1px solid var(--line); padding: .625rem 0; }
details:last-of-type { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; }
details pre { margin-top: .625rem; }
footer { margin-top: 2.5rem; }
@media (max-width: 40rem) {
  main { padding: 1.5rem 1rem 3rem; }
  .head { display: none; }
  .task { grid-template-columns: minmax(0, 1fr) 4rem 4.5rem; gap: .375rem .5rem; }
  .task .name { grid-column: 1 / -1; }
  .task .steps { display: none; }
  figure .strip { display: block; overflow-x: auto; }
  figure img { width: 44rem; max-width: none; }
}
@media print { body { background: #fff; } details { display: none; } }
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
