// Building and renewing tables. All text comes from outside (names of tasks, words of errors), so it goes in as text and never as
// markup: nothing on this page sets innerHTML.

export const byId = (id) => document.getElementById(id);

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function show(node, visible) {
  node.hidden = !visible;
}

/** An element with a class and text, both optional. */
export function make(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/**
 * Renews the rows of a table body in place, so that selections, scroll positions and focus stay. `rows` is a list of
 * {key, cells, className}; a cell is text, or {text, className, title, bar}, where bar is a list of {part, kind}.
 */
export function renewRows(body, rows) {
  const old = new Map(Array.from(body.rows, (row) => [row.dataset.key, row]));
  rows.forEach(({ key, cells, className }, index) => {
    let row = old.get(key);
    if (!row) {
      row = document.createElement("tr");
      row.dataset.key = key;
    }
    old.delete(key);
    if (body.rows[index] !== row) body.insertBefore(row, body.rows[index] || null);
    if (row.className !== (className || "")) row.className = className || "";
    cells.forEach((cell, column) => renewCell(cellOf(row, column), cell));
  });
  for (const row of old.values()) row.remove();
}

function cellOf(row, column) {
  while (row.cells.length <= column) {
    const cell = document.createElement(row.cells.length === 0 ? "th" : "td");
    if (row.cells.length === 0) cell.scope = "row";
    row.append(cell);
  }
  return row.cells[column];
}

function renewCell(node, cell) {
  const { text = "", className = "", title = "", bar } = typeof cell === "object" ? cell : { text: cell };
  if (node.className !== className) node.className = className;
  if (node.title !== title) node.title = title;
  if (!bar) return setText(node, text);
  let track = node.querySelector(".track");
  if (!track) {
    track = make("span", "track");
    track.setAttribute("aria-hidden", "true");
    node.replaceChildren(make("span", "bar-text"), track);
  }
  setText(node.firstElementChild, text);
  while (track.children.length < bar.length) track.append(make("i"));
  while (track.children.length > bar.length) track.lastElementChild.remove();
  bar.forEach(({ part, kind }, i) => {
    const piece = track.children[i];
    piece.className = kind;
    piece.style.width = `${(Math.min(1, Math.max(0, part || 0)) * 100).toFixed(2)}%`;
  });
}
