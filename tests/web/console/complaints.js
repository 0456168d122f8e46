// What is wrong with a page for people who cannot see it, or see it badly: a list of complaints.
() => {
  const found = [];
  const shown = (element) => element.checkVisibility({visibilityProperty: true}) && element.getClientRects().length;
  const name = (e) => (e.getAttribute('aria-label') || [...(e.labels ?? [])].map((l) => l.textContent).join('')
    || e.textContent || [...e.querySelectorAll('img')].map((i) => i.alt).join('')).trim();
  for (const e of document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a[href], audio, summary'))
    if (!name(e)) found.push('no name: ' + e.outerHTML.slice(0, 120));
  for (const e of document.querySelectorAll('img:not([alt])')) found.push('no alt: ' + e.outerHTML.slice(0, 120));
  for (const e of document.querySelectorAll('svg')) if (!e.getAttribute('aria-label') && !e.closest('[aria-hidden]'))
    found.push('svg that says nothing');
  const ids = [...document.querySelectorAll('[id]')].map((e) => e.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) found.push('id twice: ' + id);
  for (const e of document.querySelectorAll('[aria-labelledby], [aria-describedby], [aria-controls]')) if (shown(e))
    for (const attribute of ['aria-labelledby', 'aria-describedby', 'aria-controls'])
      for (const id of (e.getAttribute(attribute) ?? '').split(' ').filter(Boolean))
        if (!document.getElementById(id)) found.push(attribute + ' of nothing: ' + id);
  if (document.querySelectorAll('h1').length !== 1) found.push('not one h1');
  if (!document.documentElement.lang || !document.title) found.push('no language or title');

  const parse = (text) => text.match(/[\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, place) => sum + v * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = (e) => { for (; e; e = e.parentElement) {
    const colour = parse(getComputedStyle(e).backgroundColor); if (colour.length < 4 || colour[3] > 0.99) return colour; }
    return [255, 255, 255]; };
  for (const e of document.querySelectorAll('body *:not(svg *)')) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || !shown(e)) continue;
    if (e.closest(':disabled, .unseen, .skip, .picture, option')) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push('contrast ' + ((a + 0.05) / (b + 0.05)).toFixed(2) + ': ' + e.outerHTML.slice(0, 120));
  }
  return found;
}
