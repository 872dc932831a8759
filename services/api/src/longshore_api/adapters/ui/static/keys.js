// Keys for those who keep their hands on them; none with a modifier, none while something is typed.
const PLACES = {o: '/', b: '/batches', t: '/tasks', w: '/workers', e: '/events', s: '/submit', a: '/access'};

export function keys({go}) {
  let going = 0;

  const rows = () => [...document.querySelectorAll('table.list tbody tr')];
  function step(by) {
    const all = rows();
    if (!all.length) return;
    const now = all.findIndex(row => row.classList.contains('here'));
    const next = all[Math.min(all.length - 1, Math.max(0, now < 0 ? (by > 0 ? 0 : all.length - 1) : now + by))];
    all[now]?.classList.remove('here');
    next.classList.add('here');
    next.scrollIntoView({block: 'nearest'});
    next.querySelector('a')?.focus({preventScroll: true});
  }

  const does = {
    j: () => step(1),
    k: () => step(-1),
    x: () => document.querySelector('tr.here input[type=checkbox]')?.click(),
    n: () => document.querySelector('a[rel=next]')?.click(),
    '/': () => document.querySelector('main input[type=search]')?.focus(),
    '?': () => document.getElementById('keys')?.showModal(),
  };

  addEventListener('keydown', event => {
    const typing = event.target.closest?.('input:not([type=checkbox]), textarea, select, dialog, [contenteditable]');
    if (event.key === 'Escape' && typing && typing.nodeName !== 'DIALOG') { event.target.blur(); return; }
    if (typing || event.metaKey || event.ctrlKey || event.altKey) return;
    if (going && event.timeStamp - going < 1200 && PLACES[event.key]) {
      event.preventDefault();
      going = 0;
      go(PLACES[event.key]);
      return;
    }
    going = event.key === 'g' ? event.timeStamp : 0;
    if (does[event.key]) { event.preventDefault(); does[event.key](); }
  });

  addEventListener('click', event => { if (event.target.closest('[data-keys]')) document.getElementById('keys').showModal(); });
}
