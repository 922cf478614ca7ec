/** Browser script: builds elements, and changes only what differs, so that selection, focus and scrolling survive. */

export const DOM_JS = `
const SVG = "http://www.w3.org/2000/svg";

/** h("td", { class: "number" }, "12"): null attributes and children are left out, arrays are flattened. */
export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined) element.append(child);
  }
  return element;
}

/** Makes the children of the element equal to the given ones. */
export function show(element, ...children) {
  const next = children.flat(Infinity).filter((child) => child !== null && child !== undefined);
  next.forEach((child, index) => {
    const node = typeof child === "string" ? document.createTextNode(child) : child;
    const old = element.childNodes[index];
    if (!old) element.append(node);
    else if (!patch(old, node)) old.replaceWith(node);
  });
  while (element.childNodes.length > next.length) element.lastChild.remove();
}

function patch(old, next) {
  if (old.nodeType !== next.nodeType || old.nodeName !== next.nodeName) return false;
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return true;
  }
  for (const { name } of [...old.attributes]) {
    // Whether a part is unfolded is the reader's choice.
    if (name !== "open" && !next.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  show(old, [...next.childNodes]);
  return true;
}

/** A table with a caption; columns are { title, kind?: "number" }, rows are arrays of cells or strings. */
export function table(caption, columns, rows, empty) {
  if (rows.length === 0) return h("div", { class: "panel" }, h("h3", null, caption), h("p", { class: "empty" }, empty));
  return h(
    "div",
    { class: "panel" },
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      h(
        "table",
        null,
        h("caption", null, caption),
        h("thead", null, h("tr", null, columns.map((column) => h("th", { scope: "col", class: column.kind }, column.title)))),
        h("tbody", null, rows.map((row) => h("tr", null, row.map((cell, index) => toCell(cell, index, columns[index]))))),
      ),
    ),
  );
}

function toCell(cell, index, column) {
  if (cell instanceof HTMLTableCellElement) return cell;
  return h(index === 0 ? "th" : "td", { class: column?.kind, scope: index === 0 ? "row" : null }, cell);
}
`;
