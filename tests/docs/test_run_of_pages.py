"""What runs the pages of the docs notices what is wrong with one."""

from __future__ import annotations

import textwrap

import pytest
from support.blocks import BadBlock
from support.page_run import PageFailed, run_page


@pytest.fixture
def page(tmp_path):
    def outputs(text):
        """What the blocks of a page wrote, the page given without its indentation."""
        file = tmp_path / "page.md"
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        folder = tmp_path / "run"
        folder.mkdir()
        return [said for _, said in run_page(file, folder)]

    return outputs


def test_blocks_share_names_and_a_folder(page):
    """Snippets are one program, a file is there for what comes after it, output is compared."""
    said = page("""
        ```python
        count = 2
        print("two")
        ```

        ```text
        two
        ```

        ```python
        # sub/more.py
        print("a file", __name__)
        ```

        ```text
        a ... __main__
        ```

        <!-- exits 1 -->
        ```python
        # fails.py
        1 / 0
        ```

        ```text
        ZeroDivisionError: ...
        ```

        <!-- file only -->
        ```yaml
        # some.yaml
        a: 1
        ```

        ```bash
        ls
        python sub/more.py; env | grep -c ^OTEL_ || true
        ```

        ```python
        import asyncio, sub.more
        await asyncio.sleep(0)
        print(count + 1)
        ```

        ```text
        ...
        3
        ```
        """)
    assert said[-1] == "a file sub.more\n3\n"
    assert said[7] == "fails.py\nsome.yaml\nsub\na file __main__\n0\n"


@pytest.mark.slow
def test_a_page_speaks_to_real_servers(page):
    """Addresses of a Collector and of dotflow-api are those of real ones, and shown as written."""
    said = page("""
        ```python
        import requests
        print(requests.get("http://localhost:8000/workflows").json()["workflows"])
        url = "http://localhost:4318"
        print(url, requests.post(url + "/v1/metrics", data=b"").status_code)
        ```

        ```text
        []
        http://127.0.0.1:4318 200
        ```
        """)
    assert said[1] == "[]\nhttp://localhost:4318 200\n"


def test_what_goes_on_gets_a_port_and_ctrl_c(page):
    """A server of the page's own is waited for, is asked at the page's address, and ended."""
    page("""
        <!-- file only -->
        ```python
        # serve.py
        import http.server, sys
        handler = http.server.SimpleHTTPRequestHandler
        server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), handler)
        print("serving", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
        ```

        <!-- stops -->
        ```bash
        python serve.py --port 8765
        ```

        ```text
        serving
        ```

        ```python
        import urllib.request
        print(urllib.request.urlopen("http://localhost:8765/serve.py").status)
        ```

        ```text
        200
        ```
        """)


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("```python\nprint(1)\n```\n```text\n2\n```\n", "did not come: 2\n1"),
        ("```python\n1 / 0\n```\n", r"failed:\nTraceback[\s\S]*page.md.*line 2"),
        ("```python\nimport os; os._exit(0)\n```\n", "failed"),
        ("```python\n# a.py\nraise SystemExit(3)\n```\n", "status 3"),
        ("```bash\nfalse | true\n```\n", "status 1"),
        ("```bash\nsleep 100 &\n```\n", "left a process running"),
        ("<!-- exits 3 -->\n```bash\nexit 4\n```\n", "status 4"),
        ("<!-- exits 1 -->\n```bash\ntrue\n```\n", "status 0"),
        ("```console\n$ echo a\nb\n```\n", "did not come: b\na"),
        ("<!-- stops -->\n```bash\necho a --port 80\n```\n", r"not listen at port \d+:\na"),
        ("<!-- stops -->\n```bash\ntrue\n```\n```text\na\n```\n", "did not come: a"),
    ],
)
def test_a_page_that_is_wrong_fails(page, block, problem, monkeypatch):
    """The failure names the page and the line, and shows what was written."""
    if "sleep" in block:
        monkeypatch.setattr("support.page_run.LEFT_LIMIT", 0.2)
    with pytest.raises(PageFailed, match=problem) as failed:
        page(block)
    assert "page.md:" in str(failed.value)


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("```\nhello\n```\n", "no language"),
        ("```ruby\nputs 1\n```\n", "is ruby"),
        ("<!-- not run -->\n```bash\ndocker ps\n```\n", "gives no reason"),
        ("<!-- not run: no docker -->\n\n```bash\ntrue\n```\n", "in the line before"),
        ("<!-- file only -->\n```python\nprint(1)\n```\n", "is no file"),
        ("<!-- exits badly -->\n```bash\nfalse\n```\n", "in the line before"),
        ("<!-- exits 1 -->\n```python\n1 / 0\n```\n", "is a snippet"),
        ("<!-- stops -->\n```python\nprint(1)\n```\n", "only a shell block"),
        ("```python\nif __name__ == '__main__':\n    pass\n```\n", "is a program"),
    ],
)
def test_a_block_is_marked_as_it_has_to_be(page, block, problem):
    """What is not run says so, in a form that is understood."""
    with pytest.raises(BadBlock, match=problem):
        page(block)


@pytest.mark.parametrize(
    "block",
    [
        "<!-- not run: no shell -->\n```bash\nif true; then\n```\n",
        "<!-- not run: no module -->\n```python\nfrom nowhere import\n```\n",
        "```yaml\na: [1\n```\n",
        "```json\n{'a': 1}\n```\n",
        "```toml\na =\n```\n",
        "```ini\na = 1\n```\n",
    ],
)
def test_syntax_is_looked_at_whether_run_or_not(page, block):
    """No block is other than its fence says."""
    with pytest.raises(Exception, match=r"(?i)syntax|expected|expecting|invalid|no section"):
        page(block)


def test_what_is_marked_is_left_out(page):
    """A block with a reason is not run, and nothing is expected of it."""
    said = page("""
        <!-- not run: it would never end -->
        ```bash
        false
        ```

        ```text
        what it would write
        ```
        """)
    assert said == ["", ""]
