// The page as a whole: who is signed in, and what happens when something is chosen.

import { Problem, session } from "./api.js";
import { add, loadBasket, showBasket } from "./basket.js";
import { enter, leave } from "./door.js";
import { awaitMail, loadHistory } from "./history.js";
import { showItems } from "./items.js";
import { $, say } from "./page.js";

/** Do something for a signed-in customer; say so when it does not work. */
async function guard(work) {
  try {
    const known = session.current;
    if (!(await enter())) return;
    showWho();
    if (!known) await load();
    await work();
    say($("notice"));
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status === 401) {
      session.end(); // the token has expired: ask again, then do it again
      return guard(work);
    }
    say($("notice"), problem.sentence, "bad");
  }
}

function showWho() {
  const name = session.current?.name;
  $("name").textContent = name ?? "";
  $("sign-in").textContent = name ? "Sign out" : "Sign in";
}

const load = () => Promise.all([loadBasket(), loadHistory(guard)]);

$("sign-in").addEventListener("click", () => (session.current ? leave() : guard(() => {})));
showItems((item) => guard(() => add(item)));
showBasket(guard, (orderId) => awaitMail(orderId, guard));
showWho();
if (session.current) guard(load);
