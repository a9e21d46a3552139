"""Runs the snippets of a page, one after another, in one namespace, as an interpreter does.

Started as `python -c`, so that `__main__` is theirs. Each line of standard input is a JSON object
with a snippet; each answer, on the descriptor given, says whether that one ran to its end.
"""


def _session():
    import ast
    import asyncio
    import inspect
    import json
    import os
    import sys
    import traceback

    answers, asked = os.fdopen(int(sys.argv[1]), "w"), os.fdopen(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = [""]
    names = sys.modules["__main__"].__dict__
    del names["_session"]
    for line in asked:
        snippet = json.loads(line)
        source = "\n" * snippet["line"] + snippet["source"]
        try:
            code = compile(source, snippet["page"], "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            ended = eval(code, names)
            if inspect.iscoroutine(ended):
                asyncio.run(ended)
        except BaseException:
            traceback.print_exc()
            answers.write("failed\n")
        else:
            answers.write("ran\n")
        sys.stdout.flush()
        sys.stderr.flush()
        answers.flush()


_session()
