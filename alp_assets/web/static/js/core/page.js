// What every page that needs a sign-in does.

import { signOut } from "./api.js";
import { byId } from "./dom.js";

byId("sign-out")?.addEventListener("click", signOut);

/** What the server put into the page: which package, section or model it is about. */
export const about = byId("main").dataset;
