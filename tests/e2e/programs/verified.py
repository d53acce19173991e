"""A client of routes whose answers are checked: it knows nothing of that."""

from client import ask, client, seen, tell, trimtab_headers

TESTS = "```python tests\nassert median([3, 1, 2]) == 2\nassert median([1, 2, 3, 4]) == 2.5\n```"
QUESTIONS = {
    "code": ("trimtab/code", f"Write a function median(numbers).\n{TESTS}"),
    "differs": ("trimtab/sums", "How many apples are in 5 boxes of 12?"),
    "agrees": ("trimtab/sums", "How many pears are in 2 boxes of 12?"),
}

found = {}
for name, (model, text) in QUESTIONS.items():
    answer = client().messages.with_raw_response.create(model=model, max_tokens=500, messages=ask(text))
    found[name] = {**seen(answer.parse()), "headers": trimtab_headers(answer)}
with client().messages.stream(
    model="trimtab/code", max_tokens=500, messages=ask(QUESTIONS["code"][1])
) as stream:
    events = [event.type for event in stream]
    found["streamed"] = {**seen(stream.get_final_message()), "starts": events.count("message_start")}
tell(found)
