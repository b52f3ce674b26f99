// Builds elements. Text from the data goes in as text nodes and attributes only; nothing here parses markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

export function make(name, attributes = {}, ...children) {
  const node = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (attribute.startsWith("on")) node.addEventListener(attribute.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) node.setAttribute(attribute, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export function plural(count, word, words = `${word}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? word : words}`;
}

const HUES = 10;

export const hueOf = (classes) => {
  const ranks = new Map(classes.map((name, rank) => [name, rank]));
  return (name) => {
    const rank = ranks.get(name);
    return rank === undefined ? "hue-other" : `hue-${rank % HUES}`;
  };
};
