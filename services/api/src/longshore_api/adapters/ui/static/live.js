// Listens for the word that something moved, as long as the page is seen, and looks again: soon, but never in a hurry.
export function follow({look, tell}) {
  let source = null, kind = null, due = null, gap = 350, missed = null;

  const wanted = () => document.getElementById('main')?.dataset.live ?? '';

  async function again() {
    due = null;
    const began = performance.now();
    try { if (!await look()) lost(); } catch { lost(); }
    gap = Math.max(350, 5 * (performance.now() - began));
  }
  const soon = (wait = gap) => { due ??= setTimeout(again, wait); };

  function lost() {
    document.body.classList.add('lost');
    const pulse = document.getElementById('pulse');
    if (pulse) pulse.textContent = 'Out of touch';
  }
  function found() {
    clearTimeout(missed);
    missed = null;
    document.body.classList.remove('lost');
    const pulse = document.getElementById('pulse');
    if (pulse) pulse.textContent = 'Live';
  }

  function close() { source?.close(); source = null; kind = null; }

  function listen() {
    const now = document.hidden ? '' : wanted();
    if (now === kind && source?.readyState !== EventSource.CLOSED) return;
    close();
    if (!now) return;
    kind = now;
    source = new EventSource('/live' + (now === 'beats' ? '?beats=true' : ''));
    source.addEventListener('open', found);
    source.addEventListener('moved', () => { found(); soon(); });
    source.addEventListener('still', found);
    source.addEventListener('out', () => { close(); location.assign('/sign-in?next=' + encodeURIComponent(location.pathname + location.search)); });
    source.addEventListener('error', () => {
      missed ??= setTimeout(lost, 2500);
      if (source?.readyState === EventSource.CLOSED) setTimeout(() => { kind = null; listen(); }, 3000);
    });
  }

  addEventListener('visibilitychange', () => { listen(); if (!document.hidden && wanted()) soon(0); });
  new MutationObserver(listen).observe(document.body, {childList: true, subtree: false});
  new MutationObserver(listen).observe(document.body, {attributes: true, attributeFilter: ['data-live'], subtree: true});
  addEventListener('pagehide', close);
  addEventListener('pageshow', event => { if (event.persisted) { listen(); soon(0); } });
  listen();
}
