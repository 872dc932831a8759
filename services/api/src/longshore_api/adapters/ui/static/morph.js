// Makes an element look like another one, and touches nothing that is so already: focus, ticks, scrolling and what is open stay.
const key = node => node.nodeType === 1 ? node.dataset.key || node.id || '' : '';
const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && key(a) === key(b);
const TOLD = ['data-ago', 'data-since', 'data-clock'];   // their text is made here, from the instant they have

export function morph(from, to) {
  if (from.nodeType !== 1) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return;
  }
  if (from.hasAttribute('data-keep') || from.isEqualNode(to)) return;
  if (TOLD.some(name => from.hasAttribute(name)) && from.getAttribute('datetime') === to.getAttribute('datetime')) return;
  attributes(from, to);
  if (from.nodeName === 'TEXTAREA' || from.nodeName === 'SELECT') return;
  children(from, to);
}

function attributes(from, to) {
  const mine = from.nodeName === 'INPUT' && (from === document.activeElement || from.type === 'checkbox');
  for (const {name, value} of to.attributes) {
    if (from.getAttribute(name) !== value) {
      from.setAttribute(name, value);
      if (name === 'value' && !mine && from.nodeName === 'INPUT') from.value = value;
    }
  }
  for (const {name} of [...from.attributes]) {
    if (!to.hasAttribute(name) && !(name === 'open' || name === 'class' && from.nodeName === 'TR')) from.removeAttribute(name);
  }
}

function children(from, to) {
  const keyed = new Map();
  for (const child of from.children) if (key(child)) keyed.set(key(child), child);
  let at = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const named = key(wanted) && keyed.get(key(wanted));
    if (named && alike(named, wanted)) {
      if (named !== at) from.insertBefore(named, at); else at = at.nextSibling;
      morph(named, wanted);
    } else if (at && !key(at) && alike(at, wanted)) {
      const next = at.nextSibling;
      morph(at, wanted);
      at = next;
    } else {
      from.insertBefore(wanted, at);
    }
  }
  while (at) { const next = at.nextSibling; at.remove(); at = next; }
}
