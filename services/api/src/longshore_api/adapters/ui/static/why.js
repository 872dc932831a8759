// Why a task of a list is as it is: asked when one wants to know, shown beside it.
export function why() {
  const note = document.createElement('div');
  note.id = 'why';
  note.popover = 'auto';
  note.setAttribute('role', 'note');
  document.body.append(note);

  addEventListener('click', async event => {
    const link = event.target.closest('a[data-why]');
    if (!link || event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const answer = await fetch(link.href, {headers: {'Longshore-Part': '1'}, credentials: 'same-origin'});
    if (!answer.ok) { location.assign(link.href); return; }
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    note.replaceChildren(...page.querySelector('main').childNodes);
    note.showPopover();
    const at = link.getBoundingClientRect(), size = note.getBoundingClientRect();
    const below = at.bottom + 6 + size.height < innerHeight;
    note.style.setProperty('left', `${Math.max(8, Math.min(at.left, innerWidth - size.width - 8))}px`);
    note.style.setProperty('top', `${below ? at.bottom + 6 : Math.max(8, at.top - size.height - 6)}px`);
  }, {capture: true});
}
