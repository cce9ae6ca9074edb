/** What a recording's folder holds: the depth images of each shot, chosen as Python's reader does. */

const DEPTH = /depth/i;
const OTHER = /rgb|colou?r|infrared|(^|[^a-z])ir([^a-z]|$)|mask|seg|label|normal|conf/i;
const { compare } = new Intl.Collator("en", { numeric: true }); // as a person counts: 0, 20, 100

const baseOf = (name) => name.slice(name.lastIndexOf("/") + 1);
const levelOf = (name) => name.split("/").length;

/** The folder of a file, without a slash at its end; empty at the top. */
export const folderOf = (name) => name.slice(0, Math.max(name.lastIndexOf("/"), 0));

/** Whether it is no file that systems hide, or add to an archive for themselves. */
export const isVisible = (name) =>
  !name.split("/").some((part) => part === "__MACOSX" || /^\.[^.]/.test(part));

/** Of names those that lie highest. */
export function highest(names) {
  const level = names.reduce((least, name) => Math.min(least, levelOf(name)), Infinity);
  return names.filter((name) => levelOf(name) === level);
}

/**
 * The images of each shot, in order. Those that lie highest count, and each of their folders is a
 * shot. Colour, masks and the like beside depth are left out.
 * @param {string[]} names with their folders.
 * @returns {{folder: string, names: string[], start: number}[]} start: frames of those before.
 */
export function shotsOf(names) {
  const byFolder = new Map();
  for (const name of highest(names)) {
    const folder = folderOf(name);
    if (!byFolder.has(folder)) byFolder.set(folder, []);
    byFolder.get(folder).push(name);
  }
  const shots = depthOnly([...byFolder.keys()].sort(compare)).map((folder) => ({
    folder,
    names: depthOnly(byFolder.get(folder).sort(compare)),
  }));
  let start = 0;
  for (const shot of shots) {
    shot.start = start;
    start += shot.names.length;
  }
  return shots;
}

/** Names with "depth" in them, where all others have colour, mask or the like. */
function depthOnly(names) {
  const isDepth = (name) => DEPTH.test(baseOf(name));
  const isOther = (name) => OTHER.test(baseOf(name));
  const labelled = names.some(isDepth) && names.every((name) => isDepth(name) || isOther(name));
  return labelled ? names.filter(isDepth) : names;
}
