// A log as it grows: what is new is fetched by its offset, followed, searched; the beginning of a very long one is let go of.
const MOST = 6_000_000, OFTEN = 700, SELDOM = 4000;
const ESCAPES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])/g;
const known = new WeakSet();

class Log {
  constructor(section) {
    this.section = section;
    this.screen = section.querySelector('[data-screen]');
    this.status = section.querySelector('[data-status]');
    this.stream = 'stdout';
    if (section.dataset.first) this.choose(section.dataset.first);
    section.addEventListener('click', event => this.clicked(event));
    section.addEventListener('change', event => this.changed(event));
    section.querySelector('[data-find]').addEventListener('input', () => this.find(0));
    section.querySelector('[data-find]').addEventListener('keydown', event => {
      if (event.key === 'Enter') { event.preventDefault(); this.find(event.shiftKey ? -1 : 1); }
    });
    this.screen.addEventListener('scroll', () => {
      const bottom = this.screen.scrollHeight - this.screen.scrollTop - this.screen.clientHeight < 40;
      if (!bottom && this.follows()) this.follows(false);
    }, {passive: true});
    this.screen.addEventListener('wheel', event => { if (event.deltaY < 0) this.follows(false); }, {passive: true});
    this.begin();
  }

  follows(value) {
    const box = this.section.querySelector('[data-follow]');
    if (value !== undefined) box.checked = value;
    return box.checked;
  }

  query(more = {}) {
    const words = new URLSearchParams({stream: this.stream, ...more});
    const attempt = this.section.querySelector('[data-attempt]')?.value;
    if (attempt) words.set('attempt', attempt);
    return words;
  }

  begin() {
    clearTimeout(this.timer);
    this.turn = (this.turn ?? 0) + 1;
    this.offset = 0;
    this.ended = false;
    this.decoder = new TextDecoder();
    this.screen.textContent = '';
    this.dropped = 0;
    this.section.querySelector('[data-save]').href = `${this.section.dataset.log}/saved?${this.query()}`;
    this.more(this.turn);
  }

  async more(turn) {
    if (turn !== this.turn || !this.section.isConnected) return;
    if (document.hidden) { this.timer = setTimeout(() => this.more(turn), OFTEN); return; }
    let wait = OFTEN;
    try {
      const answer = await fetch(`${this.section.dataset.log}/output?${this.query({offset: this.offset})}`, {credentials: 'same-origin'});
      if (turn !== this.turn) return;
      if (!answer.ok) throw new Error(answer.status === 404 ? 'nothing is kept' : `the server says ${answer.status}`);
      const bytes = new Uint8Array(await answer.arrayBuffer());
      this.offset = Number(answer.headers.get('Longshore-Next-Offset'));
      this.ended = answer.headers.get('Longshore-Ended') === 'true';
      this.add(this.decoder.decode(bytes, {stream: !this.ended}));
      wait = this.ended ? 0 : bytes.length > 100_000 ? 30 : OFTEN;
      this.say();
    } catch (error) {
      this.status.textContent = `The log cannot be read: ${error.message}.`;
      wait = SELDOM;
    }
    if (wait) this.timer = setTimeout(() => this.more(turn), wait);
  }

  say() {
    const size = this.offset < 1000 ? `${this.offset} B` : this.offset < 1e6 ? `${(this.offset / 1e3).toPrecision(3)} kB` : `${(this.offset / 1e6).toPrecision(3)} MB`;
    const empty = this.offset === 0;
    this.status.textContent = this.ended ? (empty ? 'Nothing was written.' : `${size}, complete.`) : empty ? 'Nothing is written yet.' : `${size}, still being written.`;
    if (this.dropped) this.status.textContent += ' The beginning is not shown: download it.';
  }

  add(text) {
    if (!text) return;
    const clean = text.replace(ESCAPES, '').replace(/[^\n]*\r(?!\n)/g, '');
    const down = this.follows();
    this.screen.append(document.createTextNode(clean));
    let size = this.screen.textContent.length;
    while (size > MOST && this.screen.childNodes.length > 1) {
      size -= this.screen.firstChild.length;
      this.screen.firstChild.remove();
      this.dropped = 1;
    }
    if (down) this.screen.scrollTop = this.screen.scrollHeight;
    if (this.section.querySelector('[data-find]').value) this.find(0, true);
  }

  clicked(event) {
    const button = event.target.closest('[data-stream]');
    if (!button || button.dataset.stream === this.stream) return;
    this.choose(button.dataset.stream);
    this.begin();
  }

  choose(stream) {
    this.stream = stream;
    for (const each of this.section.querySelectorAll('[data-stream]')) each.setAttribute('aria-pressed', each.dataset.stream === stream);
  }

  changed(event) {
    if (event.target.matches('[data-attempt]')) this.begin();
    if (event.target.matches('[data-wrap]')) this.screen.classList.toggle('wrap', event.target.checked);
    if (event.target.matches('[data-follow]') && event.target.checked) this.screen.scrollTop = this.screen.scrollHeight;
  }

  find(step, still = false) {
    const words = this.section.querySelector('[data-find]').value.toLowerCase(), place = this.section.querySelector('[data-found]');
    const lights = globalThis.CSS?.highlights;
    lights?.delete('found');
    lights?.delete('here');
    if (!words) { place.textContent = ''; return; }
    const ranges = [];
    for (const node of this.screen.childNodes) {
      const text = node.data.toLowerCase();
      for (let at = text.indexOf(words); at >= 0 && ranges.length < 5000; at = text.indexOf(words, at + words.length)) {
        const range = new Range();
        range.setStart(node, at);
        range.setEnd(node, at + words.length);
        ranges.push(range);
      }
    }
    if (!ranges.length) { place.textContent = 'none'; return; }
    this.nth = step === 0 ? (still ? Math.min(this.nth ?? 0, ranges.length - 1) : 0) : ((this.nth ?? 0) + step + ranges.length) % ranges.length;
    place.textContent = `${this.nth + 1} of ${ranges.length}`;
    if (lights) { lights.set('found', new Highlight(...ranges)); lights.set('here', new Highlight(ranges[this.nth])); }
    if (!still) {
      this.follows(false);
      const box = ranges[this.nth].getBoundingClientRect(), frame = this.screen.getBoundingClientRect();
      this.screen.scrollTop += box.top - frame.top - frame.height / 2;
    }
  }
}

/** Begins with the logs of this page that are not shown yet. */
export function logs() {
  for (const section of document.querySelectorAll('[data-log]')) {
    if (known.has(section)) continue;
    known.add(section);
    new Log(section);
  }
}
