import { CLIENT_REASONS } from '../session/client-reasons.ts'
import { NOT_KEPT_REASONS } from '../session/not-kept-reasons.ts'
import { HANDSHAKE_REASONS, type ReasonRow } from '../session/reasons.ts'
import { STATUS_SCRIPT } from './status-script-text.ts'

const ROWS: Readonly<Record<string, ReasonRow>> = HANDSHAKE_REASONS

/** The tables are in Markdown; the page shows plain text. */
function plain(markdown: string): string {
  return markdown.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[`*]/g, '')
}

function words(rows: Readonly<Record<string, { readonly means: string }>>): Record<string, string> {
  return Object.fromEntries(Object.entries(rows).map(([name, { means }]) => [name, plain(means)]))
}

/** Whether it is a reason of a full handshake whose client had something to resume. */
export function isRefusal(reason: string): boolean {
  return Object.hasOwn(ROWS, reason) && ROWS[reason]?.kind === 'refused'
}

/** For the script: what the reasons mean. No `<` of it ends the element that it is in. */
export const STATUS_WORDS: string = JSON.stringify({
  words: words(HANDSHAKE_REASONS),
  notKept: words(NOT_KEPT_REASONS),
  ofClients: words(CLIENT_REASONS),
  resumed: ['resumed', ...Object.keys(ROWS).filter((name) => ROWS[name]?.kind === 'resumed')],
}).replaceAll('<', '\\u003c')

export const STATUS_STYLE: string = `
:root {
  color-scheme: light dark;
  --surface: #fff; --page: #f4f4f2; --ink: #1b1b1a; --soft: #5d5d59; --line: #d9d9d4;
  --good: #0b7a3e; --fair: #9a5b00; --bad: #c02626; --calm: #5d5d59;
  --s0: #2a78d6; --s0-soft: #86b6ef; --s1: #e06a2c; --s2: #169b6b; --s3: #c98a00; --s4: #cf5b95; --s5: #5a49b8; --rest: #9a9a94;
}
@media (prefers-color-scheme: dark) {
  :root {
    --surface: #1e1e1d; --page: #131312; --ink: #f0f0ec; --soft: #a9a9a2; --line: #3a3a37;
    --good: #4cc07f; --fair: #e0a33f; --bad: #f07171; --calm: #a9a9a2;
    --s0: #4a92ea; --s0-soft: #2a5b98; --s1: #e07a45; --s2: #2fae80; --s3: #d39b22; --s4: #dd6b9f; --s5: #9488e8; --rest: #7c7c76;
  }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 1rem; background: var(--page); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
header, main { max-width: 62rem; margin: 0 auto; }
header { display: flex; flex-wrap: wrap; gap: 0 1rem; align-items: baseline; justify-content: space-between; }
#scope, #alarms { flex-basis: 100%; margin: 0 0 .5rem; } .alarm { border-left: 6px solid var(--bad); color: var(--bad); font-weight: 600; }
h1 { font-size: 1.15rem; margin: 0 0 .5rem; }
h2 { font-size: 1.05rem; margin: 1.25rem 0 .5rem; }
h3 { font-size: .9rem; margin: 0 0 .4rem; }
p { margin: 0; }
.soft, caption, figcaption { color: var(--soft); font-size: .85rem; }
.card { background: var(--surface); border: 1px solid var(--line); border-radius: 8px; padding: .8rem 1rem; margin: 0 0 .75rem; min-width: 0; }
.verdict { border-left: 6px solid var(--calm); }
.verdict strong { display: block; font-size: 1.3rem; color: var(--calm); }
.good { border-left-color: var(--good); } .good strong { color: var(--good); }
.fair { border-left-color: var(--fair); } .fair strong { color: var(--fair); }
.bad { border-left-color: var(--bad); } .bad strong { color: var(--bad); }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 0 .75rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .75rem; margin: 0 0 .75rem; }
.tile { margin: 0; } .tile b { display: block; font-size: 1.4rem; font-weight: 600; }
figure { margin: 0; } svg { display: block; width: 100%; overflow: visible; }
svg text { fill: var(--soft); font-size: 11px; } .rule { stroke: var(--line); }
.legend { display: flex; flex-wrap: wrap; gap: .1rem .9rem; margin: .4rem 0 0; padding: 0; list-style: none; font-size: .85rem; }
.legend svg { display: inline; width: 18px; height: 10px; margin-right: .3rem; }
.curve { fill: none; stroke-width: 2; } .mark { stroke-width: 0; }
.s0 { fill: var(--s0); stroke: var(--s0); } .s0-soft { fill: var(--s0-soft); stroke: var(--s0-soft); } .s1 { fill: var(--s1); stroke: var(--s1); } .s2 { fill: var(--s2); stroke: var(--s2); }
.s3 { fill: var(--s3); stroke: var(--s3); } .s4 { fill: var(--s4); stroke: var(--s4); } .s5 { fill: var(--s5); stroke: var(--s5); }
.rest { fill: var(--rest); stroke: var(--rest); } .curve.s0, .curve.s1, .curve.s2, .curve.s3, .curve.s4, .curve.s5 { fill: none; }
.track { fill: var(--line); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { text-align: left; padding: .25rem .6rem .25rem 0; border-top: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
@media (min-width: 40rem) { th { white-space: nowrap; } }
details { margin-top: .5rem; } summary { cursor: pointer; color: var(--soft); font-size: .85rem; }
code { font-size: .92em; overflow-wrap: anywhere; }
`

export const STATUS_PAGE: string = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>TLS session resumption</title>
<style>${STATUS_STYLE}</style>
</head>
<body>
<header><h1>TLS session resumption</h1><p id="state" class="soft">Loading …</p><p id="scope" class="soft"></p><div id="alarms" role="alert"></div></header>
<main></main>
<noscript><p>The figures need JavaScript; as JSON they are at <a href="?format=json">?format=json</a>.</p></noscript>
<script type="application/json" id="words">${STATUS_WORDS}</script>
<script>${STATUS_SCRIPT}</script>
</body>
</html>
`
