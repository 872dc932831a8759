// Ticks of a list: all of the page at once, from one to another with shift, and how many there are.
let last = null;
const boxes = () => [...document.querySelectorAll('.ticks tbody input[type=checkbox]')];

export function ticks() {
  addEventListener('click', event => {
    const box = event.target;
    if (!box.matches?.('.ticks input[type=checkbox]')) return;
    const all = boxes();
    if (box.hasAttribute('data-every')) all.forEach(each => { each.checked = box.checked; });
    else if (event.shiftKey && last && all.includes(last)) {
      const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
      all.slice(from, to + 1).forEach(each => { each.checked = box.checked; });
    }
    if (!box.hasAttribute('data-every')) last = box;
    ticks.count();
  });
}

ticks.count = () => {
  const place = document.querySelector('[data-ticked]');
  if (!place) return;
  const all = boxes(), n = all.filter(box => box.checked).length;
  place.textContent = `${n} ticked`;
  const whole = document.querySelector('.bulkbar input[name=all]');
  if (whole && !n) whole.checked = false;
  const every = document.querySelector('input[data-every]');
  if (every) { every.checked = n > 0 && n === all.length; every.indeterminate = n > 0 && n < all.length; }
};
