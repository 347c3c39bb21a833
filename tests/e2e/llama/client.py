"""The published OpenAI and Ollama clients against llama.cpp's servers, as a task finds them; one line of JSON for each stage.

    answers    chat, streaming, embeddings, and who answers twelve at once
    streaming  one long stream from each of two replicas and the remote endpoint; somebody now kills one of the replicas
    killed     how each of these streams ended, and that others are answered meanwhile and after
    grown      replicas at the height of a load
    drained    the state of each replica after it, and how streams ended that were on when one began to drain
    ollama     the Ollama client, with a model of a service that speaks its API
"""

import json
import os
import threading
import time
import urllib.request

import ollama
import openai

DEADLINE = time.monotonic() + 240
MESSAGES = [{"role": "user", "content": "count the cells of the plate"}]
client = openai.OpenAI(max_retries=0, timeout=120)  # OPENAI_BASE_URL and OPENAI_API_KEY


def tell(stage, **what):
    print(json.dumps({"stage": stage, **what}), flush=True)


def wait(condition, what):
    while not condition():
        if time.monotonic() > DEADLINE:
            raise SystemExit(f"not in time: {what}; the replicas are {replicas()}")
        time.sleep(0.05)


def replicas():
    request = urllib.request.Request(os.environ["TRIREME_PROXY_URL"] + "/runtime/services/llama",
                                     headers={"Authorization": "Bearer " + os.environ["TRIREME_TOKEN"]})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return {f"llama/{one['replica']}": one["state"] for one in json.load(answer)["replicas"]}


def count(state):
    return list(replicas().values()).count(state)


def place(headers):
    """llama/0@1 is llama/0 in its second life."""
    return headers["X-Trireme-Replica"].split("@")[0]


class Stream(threading.Thread):
    """A long stream, read to its end, whatever that is; it has begun when it is made."""

    def __init__(self, tokens):
        super().__init__()
        answer = client.chat.completions.with_raw_response.create(
            model="tiny", messages=MESSAGES, max_tokens=tokens, stream=True, extra_body={"ignore_eos": True})
        self.place = place(answer.headers)
        self.chunks = answer.parse()
        self.pieces = 0
        self.wanted = True
        self.end = None
        self.start()

    def run(self):
        reason = None
        try:
            for chunk in self.chunks:
                if not self.wanted:
                    return self.chunks.close()
                self.pieces += 1
                reason = chunk.choices[0].finish_reason if chunk.choices else reason
            self.end = reason or "ended without a reason"
        except Exception as error:
            self.end = f"{type(error).__name__}: {error}"


def ask(tokens=4):
    answer = client.chat.completions.with_raw_response.create(model="tiny", messages=MESSAGES, max_tokens=tokens)
    assert answer.parse().choices
    return place(answer.headers)


def answers():
    """Gives back how many tokens take about six seconds."""
    assert "tiny" in [model.id for model in client.models.list()]
    chat = client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=24)
    begin = time.monotonic()
    stream = client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=64, stream=True, extra_body={"ignore_eos": True})
    pieces = [chunk.choices[0].delta.content for chunk in stream if chunk.choices and chunk.choices[0].delta.content]
    rate = len(pieces) / (time.monotonic() - begin)
    embedding = client.embeddings.create(model="tiny", input="cells", encoding_format="float").data[0].embedding
    answered = set()
    together = [threading.Thread(target=lambda: answered.add(ask(32))) for _ in range(12)]
    for one in together:
        one.start()
    for one in together:
        one.join()
    tell("answers", chat=chat.choices[0].message.content, pieces=len(pieces), embedding=len(embedding), answered_by=sorted(answered))
    return int(min(max(6 * rate, 300), 3500))


def streams(tokens, places):
    """A stream from each of the places. More may have to be begun; those are left again."""
    begun = {}
    for _ in range(40):
        if begun.keys() >= places:
            return [begun[name] for name in sorted(places)]
        one = Stream(tokens)
        if one.place in places and one.place not in begun:
            begun[one.place] = one
        else:
            one.wanted = False
    raise SystemExit(f"no stream from {places - begun.keys()}")


def kill(tokens):
    begun = streams(tokens, {"llama/0", "llama/1", "llama/remote-0"})
    wait(lambda: all(one.pieces > 3 for one in begun), "pieces of all streams")
    tell("streaming", replicas=[one.place for one in begun], tokens=tokens)
    victims = [one for one in begun if one.place == "llama/0"]
    wait(lambda: not any(one.is_alive() for one in victims), "the end of the killed replica's streams")
    meanwhile = [ask() for _ in range(6)]
    for one in begun:
        one.join()
    wait(lambda: count("ready") >= 2, "the killed replica's next life")
    tell("killed", ends=[[one.place, one.end] for one in begun], meanwhile=meanwhile)


def scale(tokens):
    over = threading.Event()
    lost, answered = [], []

    def load():
        while not over.is_set():
            try:
                answered.append(ask(40))
            except Exception as error:
                lost.append(repr(error))

    crowd = [threading.Thread(target=load) for _ in range(32)]
    for one in crowd:
        one.start()
    try:
        wait(lambda: count("ready") == 3, "a third replica")
        wait(lambda: "llama/2" in answered, "an answer of the third replica")
        tell("grown", replicas=replicas())
        # One stream on each replica, longer than the cool-down: whichever drains has one.
        begun = streams(tokens, {"llama/0", "llama/1", "llama/2"})
    finally:
        over.set()
        for one in crowd:
            one.join()
    wait(lambda: count("draining") == 1, "a replica that drains")
    at = [name for name, state in replicas().items() if state == "draining"]
    on = [one.place for one in begun if one.is_alive()]
    for one in begun:
        one.join()
    wait(lambda: count("draining") == 0, "its end")
    tell("drained", drained=at, streams_on=on, ends=[[one.place, one.end] for one in begun], replicas=replicas(),
         answered=len(answered), lost=lost, after=ask())


def with_ollama():
    native = ollama.Client()  # OLLAMA_HOST
    names = [model.model for model in native.list().models]
    parts = list(native.chat(model="words", messages=MESSAGES, stream=True, options={"num_predict": 6}))
    assert parts[-1].done
    vector = native.embed(model="words", input="cells").embeddings[0]
    tell("ollama", models=names, pieces=len(parts), embedding=len(vector))


tokens = answers()
kill(tokens)
scale(2 * tokens)
with_ollama()
