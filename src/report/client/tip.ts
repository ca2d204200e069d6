import { create, display } from './dom.js';

const tip = create('div', { class: 'tip', role: 'tooltip', hidden: '' });
document.body.append(tip);

export function hideTip(): void {
  tip.hidden = true;
}

/** Shows names and values beside the pointer. */
export function showTip(event: MouseEvent, fields: Readonly<Record<string, unknown>>): void {
  const list = create('dl');
  for (const [name, value] of Object.entries(fields)) {
    list.append(create('dt', {}, name), create('dd', {}, typeof value === 'number' ? display(value) : String(value)));
  }
  tip.replaceChildren(list);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = event.clientX + 14 + box.width > innerWidth ? event.clientX - 14 - box.width : event.clientX + 14;
  const top = event.clientY + 14 + box.height > innerHeight ? event.clientY - 14 - box.height : event.clientY + 14;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, top)}px`;
}
