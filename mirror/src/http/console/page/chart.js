// The chart: raw and aggregated points over each other, as SVG, and the same points as a table.

const SVG = 'http://www.w3.org/2000/svg';
const [HEIGHT, LEFT, BOTTOM, EDGE] = [300, 70, 25, 10];

function shape(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** An instant as people write it, in UTC. */
export function instant(at) {
  return new Date(at).toISOString().replace('T', ' ').replace('.000Z', '').replace('Z', '');
}

function bounds(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  const margin = low === high ? (Math.abs(low) || 1) / 10 : 0;
  return [low - margin, high + margin];
}

/** Draws lists of points, [value, start] or [value, start, end], into the element. */
export function draw(element, series, [from, to]) {
  // As wide as it is shown, so that the text has its size on every screen.
  const width = Math.min(1100, Math.max(300, document.documentElement.clientWidth - 32));
  const all = Object.values(series).flat();
  const svg = shape('svg', { viewBox: `0 0 ${width} ${HEIGHT}`, role: 'img' });
  const counts = Object.entries(series).map(([name, points]) => `${points.length} ${name}`);
  svg.setAttribute('aria-label', `Chart of ${counts.join(' and ')} points`);
  const [low, high] = all.length ? bounds(all.map(([value]) => value)) : [0, 1];
  const span = Math.max(1, to - from);
  const x = (at) => (LEFT + ((at - from) / span) * (width - LEFT - EDGE)).toFixed(1);
  const y = (value) => {
    const part = (value - low) / (high - low);
    return (HEIGHT - BOTTOM - part * (HEIGHT - BOTTOM - EDGE)).toFixed(1);
  };
  for (let line = 0; line <= 4; line += 1) {
    const value = low + ((high - low) * line) / 4;
    const place = { x1: LEFT, x2: width - EDGE, y1: y(value), y2: y(value), class: 'axis' };
    svg.append(shape('line', { ...place, 'stroke-opacity': line ? 0.3 : 1 }));
    const label = { x: LEFT - 5, y: Number(y(value)) + 4, 'text-anchor': 'end' };
    svg.append(shape('text', label, Number(value.toPrecision(4)).toString()));
  }
  const marks = [[0, 'start'], [1, 'end'], [0.5, 'middle']];
  for (const [part, anchor] of marks.slice(0, width < 600 ? 2 : 3)) {
    const at = Math.round(from + span * part);
    svg.append(shape('text', { x: x(at), y: HEIGHT - 6, 'text-anchor': anchor }, instant(at)));
  }
  for (const [name, points] of Object.entries(series)) {
    const steps = points.map(([value, start, end], index) => {
      // A line where buckets meet, a gap where one is missing.
      const joined = index > 0 && (end === undefined || points[index - 1][2] === start);
      const first = `${joined ? 'L' : 'M'}${x(start)} ${y(value)}`;
      return end === undefined ? first : `${first}L${x(Math.min(end, to))} ${y(value)}`;
    });
    svg.append(shape('path', { d: steps.join(''), class: name }));
    if (points.length === 1) {
      const [value, start] = points[0];
      svg.append(shape('circle', { cx: x(start), cy: y(value), r: 4, class: name }));
    }
  }
  element.replaceChildren(svg, legend(Object.keys(series)));
}

function legend(names) {
  const list = document.createElement('div');
  list.className = 'legend';
  for (const name of names) {
    const item = document.createElement('span');
    item.className = name;
    item.textContent = name;
    list.append(item);
  }
  return list;
}

/** Writes points into a table. Each row has them in `data-point` as the API answered them. */
export function tabulate(table, points, isAggregated) {
  const titles = isAggregated ? ['Value', 'From (UTC)', 'To (UTC)'] : ['Value', 'At (UTC)'];
  const body = table.ownerDocument.createElement('tbody');
  for (const point of points) {
    const row = body.insertRow();
    row.dataset.point = JSON.stringify(point);
    const [value, ...times] = point;
    for (const text of [value, ...times.map(instant)]) row.insertCell().textContent = text;
  }
  const head = document.createElement('thead');
  const row = head.insertRow();
  for (const title of titles) {
    const cell = document.createElement('th');
    cell.scope = 'col';
    cell.textContent = title;
    row.append(cell);
  }
  const caption = document.createElement('caption');
  caption.textContent = `${points.length} points`;
  table.replaceChildren(caption, head, body);
}
