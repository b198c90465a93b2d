// Where boxes and lines go. Pure: the same groups, edges and width always give the same picture.
//
// Groups (teams) stand in columns, callers towards the left. A line to a neighbouring column is one
// curve; a longer one passes the columns between through gaps between their boxes; one within a
// column is an arc at its right side. A narrow page has one column, so there all lines are arcs.

const BOX = 52;         // height of a service
const GAP = 22;         // between services of a group, room for passing lines
const PAD = 12;         // inside a group
const HEAD = 30;        // a group's title
const BETWEEN = 28;     // between groups of a column
const MARGIN = 26;      // above and below everything, room for passing lines
const NARROWEST = 190;  // a group
const WIDEST = 248;
const GUTTER = 72;      // between columns, at least
const ARCS = 84;        // right of the last column, where it has lines of its own
const MOST_ARCS = 200;  // the same, where there is but one column
const LANE = 7;         // between lines that share a gap
const SWEEPS = 8;

const middle = (box) => box.y + BOX / 2;
const mean = (numbers) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
const clamp = (number, low, high) => Math.max(low, Math.min(high, number));

// How far a service is from those whom nobody asks; lines that would close a circle do not count.
function ranks(names, edges) {
  const found = new Map();
  const open = new Set();
  const rank = (name) => {
    if (found.has(name)) return found.get(name);
    open.add(name);
    const before = edges.filter((edge) => edge.to === name && edge.from !== name && !open.has(edge.from));
    const value = Math.max(0, ...before.map((edge) => rank(edge.from) + (edge.kind === "event" ? 0.5 : 1)));
    open.delete(name);
    found.set(name, value);
    return value;
  };
  for (const name of names) rank(name);
  return found;
}

const heightOf = (group) => HEAD + group.services.length * (BOX + GAP) - GAP + 2 * PAD;
const heightOfAll = (groups) => groups.reduce((sum, group) => sum + heightOf(group) + BETWEEN, -BETWEEN);

// Cut a row of groups into columns so that the highest is as low as can be: by what is best for each
// beginning of the row, as there are far too many ways to try them all.
function cut(groups, columns) {
  let best = groups.map((_, end) => ({ height: heightOfAll(groups.slice(0, end + 1)), starts: [0] }));
  for (let column = 1; column < columns; column++) {
    best = groups.map((_, end) => {
      let found = null;
      for (let start = column; start <= end; start++) {
        const height = Math.max(best[start - 1].height, heightOfAll(groups.slice(start, end + 1)));
        if (found === null || height < found.height) found = { height, starts: [...best[start - 1].starts, start] };
      }
      return found ?? { height: Infinity, starts: [0] };
    });
  }
  const { starts } = best[groups.length - 1];
  return starts.map((start, index) => groups.slice(start, starts[index + 1]));
}

function stack(columns) {
  const height = Math.max(...columns.map(heightOfAll));
  const boxes = new Map();
  const panels = [];
  columns.forEach((groups, column) => {
    let y = MARGIN + (height - heightOfAll(groups)) / 2;
    for (const group of groups) {
      panels.push({ name: group.name, title: group.title, column, y, height: heightOf(group) });
      group.services.forEach((name, index) => {
        boxes.set(name, { name, column, y: y + HEAD + PAD + index * (BOX + GAP) });
      });
      y += heightOf(group) + BETWEEN;
    }
  });
  return { boxes, panels, height: height + 2 * MARGIN };
}

const effort = (boxes, edges) =>
  edges.reduce((sum, { from, to }) => sum + Math.abs(boxes.get(from).y - boxes.get(to).y), 0);

// Put each service near those it has to do with, over several sweeps; the best one counts.
function settle(columns, edges) {
  let placed = stack(columns);
  let best = { columns, effort: effort(placed.boxes, edges) };
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const pull = (name) => {
      const others = edges.flatMap(({ from, to }) => (from === name ? [to] : to === name ? [from] : []));
      return mean([placed.boxes.get(name).y, ...others.map((other) => placed.boxes.get(other).y)]);
    };
    columns = columns.map((groups) =>
      groups
        .map((group) => {
          const order = group.services.map((name) => ({ name, pull: pull(name) }));
          order.sort((a, b) => a.pull - b.pull || (a.name < b.name ? -1 : 1));
          return { ...group, services: order.map(({ name }) => name), pull: mean(order.map((one) => one.pull)) };
        })
        .sort((a, b) => a.pull - b.pull || (a.name < b.name ? -1 : 1)));
    placed = stack(columns);
    const now = effort(placed.boxes, edges);
    if (now < best.effort) best = { columns, effort: now };
  }
  return stack(best.columns);
}

// The free places of each column, where a line may pass: between its boxes, above and below.
function gaps({ boxes, panels, height }, column) {
  const taken = panels
    .filter((panel) => panel.column === column)
    .sort((a, b) => a.y - b.y)
    .flatMap((panel) => {
      const own = [...boxes.values()]
        .filter((box) => box.column === column && box.y >= panel.y && box.y < panel.y + panel.height)
        .sort((a, b) => a.y - b.y)
        .map((box) => [box.y, box.y + BOX]);
      own[0] = [panel.y, own[0][1]];
      own[own.length - 1] = [own[own.length - 1][0], panel.y + panel.height];
      return own;
    });
  const ends = [0, ...taken.flat(), height];
  const found = [];
  for (let index = 0; index < ends.length; index += 2) {
    found.push({ low: ends[index] + 6, high: ends[index + 1] - 6, lines: [] });
  }
  return found.filter((gap) => gap.high >= gap.low);
}

// Give lines that share a gap a lane each, near where they want to be.
function spread(gap) {
  gap.lines.sort((a, b) => a.wish - b.wish);
  const room = gap.high - gap.low;
  const step = gap.lines.length > 1 ? Math.min(LANE, room / (gap.lines.length - 1)) : 0;
  const first = clamp(mean(gap.lines.map((line) => line.wish)) - (step * (gap.lines.length - 1)) / 2,
    gap.low, gap.high - step * (gap.lines.length - 1));
  gap.lines.forEach((line, index) => { line.y = first + index * step; });
}

function passages(placed, edges) {
  const free = new Map();
  const found = edges.map((edge) => {
    const from = placed.boxes.get(edge.from);
    const to = placed.boxes.get(edge.to);
    const side = Math.sign(to.column - from.column);
    const lines = [];
    for (let column = from.column + side; side !== 0 && column !== to.column; column += side) {
      if (!free.has(column)) free.set(column, gaps(placed, column));
      const part = (column - from.column) / (to.column - from.column);
      const wish = middle(from) + (middle(to) - middle(from)) * part;
      const line = { column, wish };
      const cost = (gap) => Math.abs(clamp(wish, gap.low, gap.high) - wish) + gap.lines.length * LANE;
      const gap = free.get(column).reduce((a, b) => (cost(b) < cost(a) ? b : a));
      gap.lines.push(line);
      lines.push(line);
    }
    return { ...edge, side, lines };
  });
  for (const column of free.values()) for (const gap of column) if (gap.lines.length) spread(gap);
  return found;
}

// Where lines touch a box: spread over its side, in the order of where they come from.
function ports(boxes, routes) {
  const sides = new Map();
  const end = (route, name, other, side, where) => {
    const key = `${name} ${side}`;
    if (!sides.has(key)) sides.set(key, []);
    sides.get(key).push({ route, where, other, name });
  };
  for (const route of routes) {
    const first = route.lines[0]?.y ?? middle(boxes.get(route.to));
    const last = route.lines[route.lines.length - 1]?.y ?? middle(boxes.get(route.from));
    end(route, route.from, first, route.side < 0 ? "left" : "right", "start");
    end(route, route.to, last, route.side > 0 ? "left" : "right", "finish");
  }
  for (const ends of sides.values()) {
    ends.sort((a, b) => a.other - b.other || (a.where < b.where ? -1 : 1));
    const step = ends.length > 1 ? Math.min(13, (BOX - 14) / (ends.length - 1)) : 0;
    ends.forEach(({ route, where, name }, index) => {
      route[where] = middle(boxes.get(name)) + (index - (ends.length - 1) / 2) * step;
    });
  }
}

const swing = (length) => 26 + length * 0.3;

const longestArc = (routes) =>
  Math.max(1, ...routes.filter((route) => route.side === 0).map((route) => Math.abs(route.finish - route.start)));

// What the arcs of a single column would like to have; a curve reaches three quarters of its swing.
const roomOf = (routes) => clamp(swing(longestArc(routes)) * 0.75 + 10, ARCS, MOST_ARCS);

// How far the arcs of a column swing out: by their length, and never further than there is room.
function reaches(routes, room) {
  const longest = longestArc(routes);
  const most = Math.min((room - 6) / 0.75, swing(longest));
  return (length) => 18 + (most - 18) * Math.sqrt(length / longest);
}

function path(route, boxes, across) {
  const from = boxes.get(route.from);
  const to = boxes.get(route.to);
  if (route.side === 0) {
    const x = from.x + across.box;
    const reach = across.reach(Math.abs(route.finish - route.start));
    return { d: `M${x} ${route.start}C${x + reach} ${route.start} ${x + reach} ${route.finish} ${x + 7} ${route.finish}`,
      tip: { x, y: route.finish, side: -1 } };
  }
  let x = route.side > 0 ? from.x + across.box : from.x;
  let y = route.start;
  let d = `M${x} ${y}`;
  const curve = (nextX, nextY) => {
    const half = (nextX - x) / 2;
    d += `C${x + half} ${y} ${nextX - half} ${nextY} ${nextX} ${nextY}`;
    [x, y] = [nextX, nextY];
  };
  for (const line of route.lines) {
    const left = across.left(line.column);
    const [near, far] = route.side > 0 ? [left, left + across.panel] : [left + across.panel, left];
    curve(near, line.y);
    d += `H${far}`;
    x = far;
  }
  const tip = route.side > 0 ? to.x : to.x + across.box;
  curve(tip - 7 * route.side, route.finish);
  return { d, tip: { x: tip, y: route.finish, side: route.side } };
}

// groups: [{name, title, services: [name]}], edges: [{from, to, kind}], width in pixels.
export function layOut(groups, edges, width) {
  const names = groups.flatMap((group) => group.services).sort();
  const known = new Set(names);
  edges = edges.filter(({ from, to }) => known.has(from) && known.has(to) && from !== to);
  const rank = ranks(names, edges);
  const row = groups.map((group) => ({ ...group, rank: mean(group.services.map((name) => rank.get(name))) }));
  row.sort((a, b) => a.rank - b.rank || (a.name < b.name ? -1 : 1));
  const fitting = Math.floor((width - ARCS + GUTTER) / (NARROWEST + GUTTER));
  const count = clamp(fitting, 1, groups.length);
  const placed = settle(cut(row, count), edges);
  const routes = passages(placed, edges);
  ports(placed.boxes, routes);

  const arcs = routes.some((route) => route.side === 0 && placed.boxes.get(route.from).column === count - 1);
  const outer = !arcs ? 0 : count > 1 ? ARCS : clamp(width - NARROWEST, ARCS, roomOf(routes));
  const panel = clamp((width - outer - (count - 1) * GUTTER * 1.4) / count,
    count > 1 ? NARROWEST : 120, WIDEST);
  const gutter = count > 1 ? Math.min(190, (width - outer - count * panel) / (count - 1)) : 0;
  const start = (width - outer - count * panel - (count - 1) * gutter) / 2;
  const across = {
    panel, box: panel - 2 * PAD, reach: reaches(routes, PAD + (count > 1 ? Math.min(gutter, outer || gutter) : outer)),
    left: (column) => start + column * (panel + gutter),
  };
  for (const each of placed.panels) Object.assign(each, { x: across.left(each.column), width: panel });
  for (const box of placed.boxes.values()) {
    Object.assign(box, { x: across.left(box.column) + PAD, width: across.box, height: BOX });
  }
  const lines = routes.map(({ from, to, kind, ...route }) =>
    ({ from, to, kind, ...path({ from, to, ...route }, placed.boxes, across) }));
  return { width, height: placed.height, panels: placed.panels, boxes: [...placed.boxes.values()], lines };
}
