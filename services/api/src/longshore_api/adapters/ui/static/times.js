// Instants as how long ago, durations that go on; the title has the instant itself, in the reader's own zone.
const UNITS = [[86400, 'd'], [3600, 'h'], [60, 'min']];

function span(seconds) {
  const s = Math.max(0, seconds);
  if (s < 60) return `${Math.floor(s)} s`;
  const [size, unit] = UNITS.find(([size]) => s >= size);
  const whole = Math.floor(s / size), rest = Math.floor((s % size) / (size === 86400 ? 3600 : size === 3600 ? 60 : 1));
  const lesser = size === 86400 ? 'h' : size === 3600 ? 'min' : 's';
  return whole < 10 && rest ? `${whole} ${unit} ${rest} ${lesser}` : `${whole} ${unit}`;
}

function ago(at, now) {
  const seconds = (now - at) / 1000;
  if (seconds < -1) return `in ${span(-seconds)}`;
  if (seconds < 5) return 'just now';
  if (seconds < 7 * 86400) { const [first, unit] = span(seconds).split(' '); return `${first} ${unit} ago`; }
  return new Date(at).toLocaleDateString(undefined, {year: 'numeric', month: 'short', day: 'numeric'});
}

function show() {
  if (document.hidden) return;
  const now = Date.now();
  for (const element of document.querySelectorAll('time[data-clock]')) {
    const text = clock(element);
    if (element.textContent !== text) element.textContent = text;
  }
  for (const element of document.querySelectorAll('time[data-ago], time[data-since]')) {
    const at = Date.parse(element.dateTime);
    if (Number.isNaN(at)) continue;
    const text = element.hasAttribute('data-ago') ? ago(at, now) : span((now - at) / 1000);
    if (element.textContent !== text) element.textContent = text;
    if (!element.title) element.title = new Date(at).toLocaleString();
  }
}

function clock(element) {
  const at = new Date(element.dateTime), day = Date.now() - at > 20 * 3600e3;
  const text = at.toLocaleTimeString(undefined, {hour: '2-digit', minute: '2-digit'});
  return day ? `${at.toLocaleDateString(undefined, {month: 'short', day: 'numeric'})} ${text}` : text;
}

export function times() { setInterval(show, 1000); }
times.now = show;
