// Buttons: what they ask for is sent, what became of it is told in a note, and the page looks again.
let toasts, asked = null;

/** A note that passes; a button in it if `more` says what it does. */
export function tell(text, kind = 'good', more = null) {
  toasts ??= document.getElementById('toasts');
  const note = document.createElement('div');
  note.className = `toast ${kind}`;
  const words = document.createElement('p');
  words.textContent = text;
  note.append(words);
  if (more) {
    const button = document.createElement('button');
    button.textContent = more.label;
    button.addEventListener('click', () => { note.remove(); more.run(); });
    note.append(button);
  }
  toasts.append(note);
  setTimeout(() => note.remove(), kind === 'good' ? 7000 : 14000);
}

function sure(text, label) {
  const dialog = document.getElementById('sure');
  document.getElementById('sure-text').textContent = text;
  document.getElementById('sure-yes').textContent = label;
  dialog.returnValue = 'no';
  dialog.showModal();
  return new Promise(done => dialog.addEventListener('close', () => done(dialog.returnValue === 'yes'), {once: true}));
}

const UNDONE = new Set(['delete', 'move', 'edit']);

export function act({go, look}) {
  async function send(action, body) {
    const answer = await fetch(action, {method: 'POST', body, headers: {'Longshore-Part': '1'}, credentials: 'same-origin'});
    if (answer.status === 401) location.assign('/sign-in?next=' + encodeURIComponent(location.pathname + location.search));
    return answer.json();
  }

  async function run(form, button) {
    const data = new URLSearchParams(new FormData(form, button));
    const action = button?.getAttribute('formaction') ?? form.getAttribute('action'), verb = data.get('verb') ?? '';
    if (button) button.disabled = true;
    try {
      const said = await send(action, data);
      const undo = said.undo && UNDONE.has(verb) && {label: 'Undo', run: async () => {
        const back = await send('/act/undo', new URLSearchParams({stamp: data.get('stamp'), request: said.undo}));
        tell(back.text, back.kind);
        look();
      }};
      if (said.text) tell(said.text, said.kind, undo || null);
      if (said.kind !== 'bad') for (const box of form.querySelectorAll('.ticks :checked, .bulkbar :checked')) box.checked = false;
      if (said.to) await go(said.to); else await look();
    } catch {
      tell('It could not be sent: the server does not answer. Nothing was changed as far as this page knows.', 'bad');
    } finally {
      if (button) button.disabled = false;
    }
  }

  addEventListener('submit', async event => {
    const form = event.target, button = event.submitter, here = form.matches('form[data-act]');
    const question = asked === button ? null : button?.dataset.sure;
    asked = null;
    if (!here && !question) return;
    event.preventDefault();
    if (question && !await sure(question, button.textContent)) return;
    if (here) { await run(form, button); return; }
    asked = button;
    form.requestSubmit(button);
  });
}
