#!/bin/sh
# Builds the wheel, installs it into a clean environment and runs commands from another folder.
set -eu
PYTHON=${PYTHON:-python3}
root=$(pwd)
case "$PYTHON" in */*) PYTHON="$root/$PYTHON" ;; esac
work=$(mktemp -d)
trap 'rm -rf "$work" "$root/build"' EXIT
for kind in --sdist --wheel; do
  "$PYTHON" -m build $kind --no-isolation --outdir "$work/dist" "$root" >"$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
done
"$PYTHON" - "$work"/dist/*.whl "$root" <<'CHECK'
import shutil, sys, tarfile, zipfile
from pathlib import Path

wheel, root = sys.argv[1], Path(sys.argv[2])
inside = set(zipfile.ZipFile(wheel).namelist())
wanted = {
    f"armillary/{path.relative_to(root)}"
    for folder in ("core", "domains", "pipelines", "data_cards")
    for path in (root / folder).rglob("*")
    if path.suffix in (".py", ".yaml", ".md", ".html", ".css", ".json") and "__pycache__" not in path.parts
}
missing = sorted(wanted - inside)
if missing:
    sys.exit(f"{len(missing)} files are missing from the wheel: {missing[:10]}")
print(f"wheel: all {len(wanted)} files are inside")
if shutil.which("g++"):
    assert "armillary/core/ops/native/libarmillary.so" in inside, "the native library is missing from the wheel"
    assert "-py3-none-" in wheel and not wheel.endswith("-any.whl"), f"{wheel} is not tagged for the platform alone"
(sdist,) = Path(wheel).parent.glob("*.tar.gz")
packed = {name.partition("/")[2] for name in tarfile.open(sdist).getnames()}
sources = {str(p.relative_to(root)) for p in (root / "core").rglob("*") if p.suffix in (".cpp", ".hpp")}
if sources - packed:
    sys.exit(f"sources of kernels are missing from the sdist: {sorted(sources - packed)}")
print(f"sdist: all {len(sources)} sources of kernels are inside")
CHECK
# The clean environment borrows the installed dependencies through a path file, and armillary from the wheel alone.
"$PYTHON" -m venv "$work/venv"
site=$("$work/venv/bin/python" -c "import site; print(site.getsitepackages()[0])")
"$PYTHON" -c "import site; print(site.getsitepackages()[0])" > "$site/borrowed.pth"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --force-reinstall "$work"/dist/*.whl
cd "$work"
where=$("$work/venv/bin/python" -c "import armillary.core; print(armillary.core.__file__)")
case "$where" in "$work"/*) ;; *) echo "armillary was imported from $where, not from the wheel"; exit 1 ;; esac
"$work/venv/bin/armillary" --version
"$work/venv/bin/armillary" cards >/dev/null
if command -v g++ >/dev/null; then "$work/venv/bin/armillary" ops --json | grep -q '"tier": "native"'; fi
"$work/venv/bin/armillary" describe transients/t2-plasticc --json | grep -q '"parameters": 13454'
echo "wheel: commands run from another folder"
