// Elements of the page: those that are there, and new ones.

export const element = (id) => document.getElementById(id);

export function make(tag, facts = {}, ...children) {
  const made = Object.assign(document.createElement(tag), facts);
  made.append(...children);
  return made;
}
