/** An error that a user can cause; its message is one sentence that the page shows. */
export class Problem extends Error {}
