import { PALETTES, type Theme } from './look.js';

function variables(theme: Theme): string {
  const { background, ink, muted, grid, categories } = PALETTES[theme];
  return `color-scheme: ${theme}; --background: ${background}; --ink: ${ink}; --muted: ${muted}; --grid: ${grid}; --accent: ${categories[0]};`;
}

/** The page's style sheet: the same colours as the charts', in the theme that the reader's system asks for. */
export const STYLE = `
:root { ${variables('light')} }
@media (prefers-color-scheme: dark) { :root { ${variables('dark')} } }
:root[data-theme='light'] { ${variables('light')} }
:root[data-theme='dark'] { ${variables('dark')} }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 28px 24px 64px; background: var(--background); color: var(--ink);
  font: 15px/1.5 'Open Sans', system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; align-items: flex-start; gap: 12px 24px; }
header > div { flex: 1 1 320px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 44px 0 6px; }
p { margin: 0 0 12px; max-width: 78ch; }
.subtitle, figcaption, .hint, .count { color: var(--muted); }
.hint, figcaption, .readout { font-size: 13px; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(170px, 1fr)); gap: 10px 24px; margin: 20px 0 0; }
.facts dt { color: var(--muted); font-size: 13px; }
.facts dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
nav ul { display: flex; flex-wrap: wrap; gap: 4px 18px; list-style: none; margin: 20px 0 0; padding: 0; }
a { color: var(--accent); }
figure { margin: 12px 0 8px; }
.plot { width: 100%; overflow-x: auto; border-radius: 4px; }
.plot:focus-visible, button:focus-visible, input:focus-visible, select:focus-visible, .scroller:focus-visible,
summary:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.tools { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; margin: 6px 0; }
button, input, select { font: inherit; font-size: 13px; color: var(--ink); background: var(--background);
  border: 1px solid var(--muted); border-radius: 4px; padding: 3px 10px; min-height: 28px; }
button { cursor: pointer; }
button:hover { border-color: var(--accent); color: var(--accent); }
.filter { flex: 1 1 260px; max-width: 460px; }
.readout { min-height: 20px; margin: 2px 0; font-weight: 600; }
.scroller { max-height: 420px; overflow: auto; border: 1px solid var(--grid); border-radius: 4px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
td, th { padding: 0 12px; height: 28px; text-align: left; white-space: nowrap; border-bottom: 1px solid var(--grid); }
td.numeric, th.numeric { text-align: right; }
thead th { position: sticky; top: 0; background: var(--background); z-index: 1; box-shadow: 0 1px 0 var(--muted); }
thead th button { border: 0; padding: 0; background: none; font-weight: 600; }
th[aria-sort='ascending'] button::after { content: ' ▲'; font-size: 10px; }
th[aria-sort='descending'] button::after { content: ' ▼'; font-size: 10px; }
tbody tr[data-row] { cursor: pointer; }
tbody tr[data-row]:hover { background: var(--grid); }
tbody tr[aria-selected='true'] { background: var(--grid); box-shadow: inset 3px 0 0 var(--accent); }
tr.space td { padding: 0; border: 0; }
details { margin: 6px 0; }
details table { width: auto; margin: 8px 0; }
summary { cursor: pointer; font-size: 13px; color: var(--muted); }
.tip { position: fixed; z-index: 10; pointer-events: none; padding: 6px 10px; border-radius: 4px; font-size: 13px;
  background: var(--ink); color: var(--background); box-shadow: 0 2px 8px rgb(0 0 0 / 30%); }
.tip dl { display: grid; grid-template-columns: auto auto; gap: 0 12px; margin: 0; }
.tip dt { opacity: 0.75; }
.tip dd { margin: 0; font-weight: 600; font-variant-numeric: tabular-nums; }
@media print { .tools, nav, details, #theme { display: none; } .scroller { max-height: none; } }
`;
