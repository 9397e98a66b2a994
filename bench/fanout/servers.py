"""What is started, how it is addressed, and what it needs."""
import os
import shutil
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(HERE, "..", "peers")
PORT, BEHIND = 9280, 9281
URL = f"http://127.0.0.1:{PORT}"
LISTEN = ["--listen", f"127.0.0.1:{PORT}"]
TOPICS = ["--url", URL + "/topics/t{topic}", "--publish", URL + "/topics/t{topic}"]
PLAIN = ["--url", URL + "/sub/t{topic}", "--publish", URL + "/pub/t{topic}"]

# Pushpin is told of an event in an envelope; the data within it has as many bytes as elsewhere.
GRIP = r'{"items":[{"channel":"t{topic}","formats":{"http-stream":{"content":"data: {mark}{pad}\n\n"}}}]}'
GRIP_BESIDE = len(GRIP) - len("{mark}{pad}")


@dataclass(frozen=True)
class Server:
    """`@NAME.conf@` in a command is a file of `peers/` with its places filled in, `@DIR@` a fresh directory,
    `@BIN@` where Cargo puts what it builds."""
    title: str
    command: list
    urls: list = field(default_factory=lambda: PLAIN)
    helpers: list = field(default_factory=list)
    # The program that shows that a Debian package is there, and the package.
    needs: dict = field(default_factory=dict)
    # How many bytes of a body are no data.
    beside: int = 0

    def missing(self):
        """The Debian packages that are not there."""
        return [package for shown_by, package in self.needs.items()
                if not (os.path.exists(shown_by) or shutil.which(shown_by))]


NGINX = {"nginx": "nginx-light"}
STENTOR = ["@STENTOR@", "serve", *LISTEN]
SERVERS = {
    "stentor": Server("Stentor, in memory", STENTOR + ["--memory"], TOPICS),
    "stentor-durable": Server("Stentor, on disk", STENTOR + ["--data", "@DIR@/data"], TOPICS),
    "stentor-hyper": Server("Stentor by hyper bodies", STENTOR + ["--memory", "--no-takeover"], TOPICS),
    "axum": Server("axum and broadcast", ["@BIN@/broadcast", f"127.0.0.1:{PORT}"]),
    "nchan": Server(
        "nginx with nchan", ["nginx", "-c", "@nchan.conf@"],
        needs=NGINX | {"/usr/lib/nginx/modules/ngx_nchan_module.so": "libnginx-mod-nchan"}),
    "pushpin": Server(
        "Pushpin", ["pushpin", "--config=@pushpin.conf@"],
        ["--url", URL + "/sub/t{topic}", "--publish", "http://127.0.0.1:5561/publish/",
         "--content-type", "application/json", "--body", GRIP],
        helpers=[["nginx", "-c", "@origin.conf@"], ["zurl", "--config=@zurl.conf@"]],
        needs=NGINX | {"pushpin": "pushpin", "zurl": "zurl"}, beside=GRIP_BESIDE),
    "floor": Server("the kernel's floor", ["@BIN@/floor", f"127.0.0.1:{PORT}"]),
    "floor-batch": Server("the floor, gathering", ["@BIN@/floor", "--batch", f"127.0.0.1:{PORT}"]),
}
# What only says how much the kernel asks for.
YARDSTICKS = ("floor", "floor-batch")


def written(command, where, binaries, stentor):
    """A command as it is started; the files that it names are written."""
    places = {"@DIR@": where, "@BIN@": binaries, "@STENTOR@": stentor, "@PORT@": str(PORT), "@BEHIND@": str(BEHIND)}

    def filled(text):
        for place, value in places.items():
            text = text.replace(place, value)
        return text

    words = []
    for word in map(filled, command):
        before, at, rest = word.partition("@")
        if at:
            name = rest.rstrip("@")
            with open(f"{PEERS}/{name}") as template, open(f"{where}/{name}", "w") as file:
                file.write(filled(template.read()))
            word = f"{before}{where}/{name}"
        words.append(word)
    return words
