"""The look of the HTML page: light and dark, on a phone and on paper."""

STYLE = """
:root { color-scheme: light dark; --fore: #1c2128; --soft: #57606a; --back: #fff; --line: #d0d7de; --head: #f6f8fa;
  --link: #0757ba; --bar: #8250df; --new: #d6f5dd; --old: #ffe3e0; --new-fore: #0b4a1d; --old-fore: #7d1510 }
@media (prefers-color-scheme: dark) {
  :root { --fore: #e6edf3; --soft: #9da7b3; --back: #0d1117; --line: #3d444d; --head: #161b22;
    --link: #79b8ff; --bar: #a371f7; --new: #12331d; --old: #48191b; --new-fore: #aff5b4; --old-fore: #ffc9c4 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; color: var(--fore); background: var(--back);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0 1rem }
h2 { font-size: 1.3rem; margin: 2rem 0 .5rem; padding-top: 1rem; border-top: 1px solid var(--line) }
header + main > :first-child > h2 { margin-top: 0 }
h3 { font-size: 1.05rem; margin: 1.25rem 0 .5rem }
p { margin: .4rem 0 }
ul { margin: 0; padding-left: 1.2rem }
td ul { padding: 0; list-style: none }
a { color: var(--link) }
a:focus-visible, .grid:focus-visible { outline: 2px solid var(--link); outline-offset: 2px }
code { font: .9em ui-monospace, monospace; background: var(--head); padding: .1em .3em; border-radius: 4px }
.grid { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums }
th, td { padding: .35rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line);
  min-width: 5rem }
tbody th { min-width: 7rem }
.told { min-width: 9.5rem }
.wide { min-width: 11rem; width: 60% }
tbody:last-child tr:last-child > *, tr:last-child > [rowspan] { border-bottom: 0 }
tbody + tbody > tr:first-child > * { border-top: 1px solid var(--line) }
thead th { background: var(--head); color: var(--soft); font-weight: 600; white-space: nowrap }
tbody th { font-weight: 600 }
.n { text-align: right; white-space: nowrap; overflow-wrap: normal }
.kind { display: block; font-weight: 400; color: var(--soft); white-space: nowrap }
.counts { display: flex; flex-wrap: wrap; gap: .5rem; margin: 0 }
.counts div { flex: 1 0 6.5rem; padding: .4rem .7rem; border: 1px solid var(--line); border-radius: 6px }
dt { color: var(--soft); font-size: .85rem }
dd { margin: 0; font-size: 1.15rem; font-weight: 600; font-variant-numeric: tabular-nums }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
.badge { font-size: .8rem; font-weight: 600; padding: .1em .6em; border-radius: 1em; white-space: nowrap;
  border: 1px solid currentColor; vertical-align: middle }
.badge.same { color: var(--new-fore); background: var(--new) }
.badge.different { color: var(--old-fore); background: var(--old) }
.bar { display: block; width: 7rem; max-width: 100%; height: .45rem; margin: .25rem 0; background: var(--line);
  border-radius: 3px; overflow: hidden }
.bar span { display: block; height: 100%; min-width: 1px; background: var(--bar) }
ins, del { text-decoration: none; padding: 0 .25em; border-radius: 3px; white-space: pre-wrap }
ins { background: var(--new); color: var(--new-fore) }
del { background: var(--old); color: var(--old-fore) }
.null { font-style: italic }
.back { font-size: .9rem }
@media (max-width: 40rem) { body { padding: .6rem } th, td { padding: .3rem .4rem } tbody th { min-width: 5.5rem }
  .told { min-width: 7.5rem } .wide { min-width: 8.5rem; width: auto } }
@media print { body { max-width: none; padding: 0; font-size: 10pt } .back { display: none }
  .grid { overflow: visible } tr { break-inside: avoid } h2, h3 { break-after: avoid }
  .bar, .bar span, ins, del, .badge { print-color-adjust: exact } }
"""
