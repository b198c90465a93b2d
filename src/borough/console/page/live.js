// What changes by itself: topics of keyed values, over one stream of server-sent events.
//
// `follow(topics, changed)` calls `changed(topic, values, keys)` with all values of the topic by key
// and the keys that are other ones now (all of them at first). Nothing is asked for while nobody looks.

const PATH = "/console/api/live?topics=";
const AGAIN_MS = 2000;
const LATER_MS = 500;

export class Live {
  constructor(onState) {
    this.onState = onState; // told "open", "lost", or "refused"
    this.followers = new Set();
    this.values = new Map();
    this.source = null;
    this.topics = "";
    document.addEventListener("visibilitychange", () => this.settle());
  }

  // Returns what ends it.
  follow(topics, changed) {
    const follower = { topics, changed };
    this.followers.add(follower);
    for (const topic of topics) {
      const known = this.values.get(topic);
      if (known) changed(topic, known, [...known.keys()]);
    }
    this.settle();
    return () => {
      this.followers.delete(follower);
      // Another page usually follows soon; one stream is opened for both changes.
      setTimeout(() => this.settle(), LATER_MS);
    };
  }

  settle() {
    const wanted = document.hidden ? [] : [...new Set([...this.followers].flatMap((each) => each.topics))].sort();
    const topics = wanted.join(",");
    if (topics === this.topics) return;
    this.topics = topics;
    this.open();
  }

  open() {
    this.source?.close();
    this.source = null;
    clearTimeout(this.again);
    for (const topic of this.values.keys()) if (!this.topics.split(",").includes(topic)) this.values.delete(topic);
    if (!this.topics) return;
    const source = new EventSource(PATH + this.topics);
    this.source = source;
    source.addEventListener("open", () => this.onState("open"));
    source.addEventListener("error", () => {
      const refused = source.readyState === EventSource.CLOSED;
      this.onState(refused ? "refused" : "lost");
      if (refused) this.again = setTimeout(() => this.open(), AGAIN_MS);
    });
    for (const topic of this.topics.split(",")) {
      source.addEventListener(topic, (event) => this.take(topic, JSON.parse(event.data)));
    }
  }

  take(topic, { whole, changed, gone }) {
    const before = this.values.get(topic);
    const values = whole || !before ? new Map() : before;
    const keys = new Set([...Object.keys(changed), ...gone, ...(whole && before ? before.keys() : [])]);
    for (const [key, value] of Object.entries(changed)) values.set(key, value);
    for (const key of gone) values.delete(key);
    this.values.set(topic, values);
    for (const follower of this.followers) {
      if (follower.topics.includes(topic)) follower.changed(topic, values, [...keys]);
    }
  }
}

// What one page follows: all of it ends with the page, and a page that is over follows nothing more, however late its parts come.
export class Followed {
  constructor(live) {
    this.live = live;
    this.ends = [];
    this.isOver = false;
  }

  follow(topics, changed) {
    if (!this.isOver) this.ends.push(this.live.follow(topics, changed));
  }

  end() {
    this.isOver = true;
    for (const end of this.ends.splice(0)) end();
  }
}
