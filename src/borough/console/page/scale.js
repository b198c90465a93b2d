// Where a moment of a trace stands in its picture. Pure.
//
// A trace may go on hours later, when an event is replayed: a time in which nothing happened, longer than
// half of all that did, is drawn as a narrow break, so that the rest stays readable.

const LONG_SHARE = 0.5;
const BREAK_SHARE = 0.05;

// Times in which something happened, merged: [from, to] in milliseconds.
function busyTimes(rows) {
  const found = [];
  for (const { offset_ms: from, duration_ms: took } of [...rows].sort((a, b) => a.offset_ms - b.offset_ms)) {
    const last = found[found.length - 1];
    if (last && from <= last[1]) last[1] = Math.max(last[1], from + took);
    else found.push([from, from + took]);
  }
  return found;
}

// `at(ms)` is a share of the width; `breaks` are [share, milliseconds left out].
export function scaleOf(rows) {
  const busy = busyTimes(rows);
  const all = Math.max(0.001, busy.reduce((sum, [from, to]) => sum + to - from, 0));
  const pieces = [];
  let upto = 0;
  busy.forEach(([from, to], index) => {
    if (index) {
      const gap = from - busy[index - 1][1];
      const isBreak = gap > all * LONG_SHARE;
      const width = isBreak ? all * BREAK_SHARE : gap;
      pieces.push({ from: busy[index - 1][1], to: from, at: upto, width, isBreak });
      upto += width;
    }
    pieces.push({ from, to, at: upto, width: to - from, isBreak: false });
    upto += to - from;
  });
  const whole = upto || 1;
  return {
    at(ms) {
      const piece = pieces.find((each) => ms <= each.to) ?? pieces[pieces.length - 1];
      const inside = piece.to > piece.from ? (Math.max(ms, piece.from) - piece.from) / (piece.to - piece.from) : 0;
      return Math.min(1, (piece.at + Math.min(1, inside) * piece.width) / whole);
    },
    breaks: pieces.filter((each) => each.isBreak).map((each) => [(each.at + each.width / 2) / whole, each.to - each.from]),
  };
}
