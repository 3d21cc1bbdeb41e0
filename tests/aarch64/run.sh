#!/usr/bin/env bash
# Proves on an x86-64 machine that the project builds for aarch64 Linux, and that what runs there gives the same pixels:
#
#   tests/aarch64/run.sh              type-checks the workspace, then runs the tests of imaging, engine and artifact under qemu
#   tests/aarch64/run.sh --programs   also builds both programs for aarch64 and for this machine, runs a small pipeline here and
#                                     makes each of its stages again under qemu: `verify --rerun`, between numerics classes
#
# Installs nothing outside the checkout and the target folder, and says what is missing. libtorch for aarch64 comes into
# .libtorch-aarch64/ (SEEDPIPE_AARCH64_LIBTORCH: elsewhere). Not a part of .ci/run: it takes too long (docs/install.md).
set -euo pipefail
cd "$(dirname "$0")/../.."

target=aarch64-unknown-linux-gnu
crates=(seedpipe-imaging seedpipe-engine seedpipe-artifact)
# Where Debian's cross compiler keeps the C library; and a processor as in Graviton2, which has what libtorch asks for.
export QEMU_LD_PREFIX="${QEMU_LD_PREFIX:-/usr/aarch64-linux-gnu}" QEMU_CPU="${QEMU_CPU:-neoverse-n1}"

say() { printf '\n== %s (after %s s)\n' "$*" "$SECONDS"; }
has() { command -v "$1" >/dev/null; }
fail() {
    printf 'error: %s\n' "$1" >&2
    shift
    [ $# = 0 ] || printf '%s\n' "$@" >&2
    exit 1
}

programs=no
case "$*" in
"") ;;
--programs) programs=yes ;;
*) fail "expected nothing or \`--programs\`, got \`$*\`" ;;
esac
[ "$(uname -m)" = x86_64 ] || fail "this machine is $(uname -m), not x86_64" "hint: on aarch64 itself, run \`make test\`"

say "tools"
packages=()
has aarch64-linux-gnu-gcc || packages+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross)
has aarch64-linux-gnu-g++ || packages+=(g++-aarch64-linux-gnu)
has qemu-aarch64 || packages+=(qemu-user)
has unshare || packages+=(util-linux)
has python3 || packages+=(python3 python3-pip)
has cargo || fail "\`cargo\` is missing" "hint: install a Rust toolchain (rustup)"
missing=()
[ ${#packages[@]} = 0 ] || missing+=("hint: apt-get install ${packages[*]}")
# A standard library's folder is named for every target, and holds files where that is installed.
compgen -G "$(rustc --print target-libdir --target $target)/libstd-*.rlib" >/dev/null || missing+=("hint: rustup target add $target")
[ ${#missing[@]} = 0 ] || fail "tools for aarch64 are missing" "${missing[@]}"
rustc --version
aarch64-linux-gnu-gcc --version | head -1
qemu-aarch64 --version | head -1
echo "processor under qemu: $QEMU_CPU"

libtorch="$(realpath -m "${SEEDPIPE_AARCH64_LIBTORCH:-.libtorch-aarch64}")"
python3 src/learn/setup_libtorch.py "$libtorch" --arch aarch64
echo "libtorch: $(cat "$libtorch/complete")"

# Empty where the kernel starts programs for aarch64.
runner=()
for_aarch64() {
    env LIBTORCH="$libtorch" \
        CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc \
        CXX_aarch64_unknown_linux_gnu=aarch64-linux-gnu-g++ \
        AR_aarch64_unknown_linux_gnu=aarch64-linux-gnu-ar \
        CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
        "${runner[@]}" "$@"
}

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

# Tests start programs of aarch64 by themselves, so the kernel must know what to run those with. Either it does (Debian's
# qemu-user-binfmt), or it is told within namespaces of our own, which changes nothing outside (Linux 6.7 and newer), or those tests are
# left out and the others are started by cargo's runner.
cat >"$scratch/within.sh" <<'WITHIN'
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
printf '%s' ":qemu-aarch64:M::$magic:$mask:$1:" >/proc/sys/fs/binfmt_misc/register
shift
exec "$@"
WITHIN
printf 'int main(void) { return 0; }\n' >"$scratch/nothing.c"
aarch64-linux-gnu-gcc -o "$scratch/nothing" "$scratch/nothing.c"
namespaces=(unshare --user --map-root-user --mount sh -e "$scratch/within.sh" "$(command -v qemu-aarch64)")
emulated=()
skipped=()
if "$scratch/nothing" 2>/dev/null; then
    echo "programs for aarch64 are started by the kernel, as it is set up"
elif "${namespaces[@]}" "$scratch/nothing" 2>"$scratch/why"; then
    emulated=("${namespaces[@]}")
    echo "programs for aarch64 are started by the kernel, told so within namespaces of their own"
else
    # All that start their own program again; tests of `git` are not among them, since that runs natively.
    skipped=(
        beside::runs::a_killed_process_is_taken_over_from_and_at_most_one_shard_is_done_again
        beside::runs::a_stopped_run_goes_on_where_it_was
    )
    runner=(CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64)
    echo "programs for aarch64 can't be started by the kernel: $(head -1 "$scratch/why")"
    [ $programs = no ] || fail "\`--programs\` needs that" "hint: apt-get install qemu-user-binfmt, or a Linux from 6.7 on with user namespaces"
fi

say "type check of the workspace with all targets"
for_aarch64 cargo check --workspace --all-targets --target $target

say "tests of ${crates[*]}"
packages=("${crates[@]/#/--package=}")
for_aarch64 cargo test --no-run --target $target "${packages[@]}"
arguments=()
for name in "${skipped[@]}"; do
    echo "not run, since it starts its own program again: $name"
    arguments+=(--skip "$name")
done
log="$scratch/tests.log"
if ! for_aarch64 "${emulated[@]}" cargo test --no-fail-fast --target $target "${packages[@]}" -- "${arguments[@]}" >"$log" 2>&1; then
    cat "$log" >&2
    fail "tests failed on aarch64; they are told above"
fi
grep -E '^ +Running |^ +Doc-tests |^test result: ' "$log"
awk '/^test result: /{passed += $4; failed += $6; ignored += $8}
    END {printf "%d passed, %d failed, %d ignored\n", passed, failed, ignored; exit passed == 0}' "$log"
grep -q '^test .*pixels_have_the_recorded_bits_on_every_processor ... ok$' "$log" || fail "the test of recorded pixels was not run"
echo "pixels: the recorded bits (src/imaging/testdata/digests.txt), which x86-64 is held to as well"

if [ $programs = no ]; then
    say "done"
    echo "not tried: building the programs and running them (--programs), tests of learn, stages and of the programs, a GPU, real hardware"
    exit
fi

say "both programs, for this machine and for aarch64"
# libtorch of this machine: LIBTORCH, or what `make setup` has fetched.
[ -n "${LIBTORCH:-}" ] || make setup
cargo build --bins
for_aarch64 cargo build --bins --target $target
folder="$(cargo metadata --no-deps --format-version 1 | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')"
here="$folder/debug/seedpipe"
there="$folder/$target/debug/seedpipe"
for program in "$there" "$there-torch"; do
    "${emulated[@]}" "$program" --version
    printf '%s needs: ' "$(basename "$program")"
    readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | paste -sd ' '
done

say "a pipeline, run on this machine and made again under qemu"
mkdir "$scratch/project"
cp data/digits.parquet "$scratch/project"
cp tests/aarch64/pipeline.yaml "$scratch/project"
unset SEEDPIPE_CACHE SEEDPIPE_REMOTE
cd "$scratch/project"
"$here" run --quiet
"${emulated[@]}" "$there" doctor || true
"${emulated[@]}" "$there" verify --rerun
"${emulated[@]}" "$there" run --locked

say "done"
echo "not tried: tests of learn, stages and of the programs, training longer than seconds, a GPU, real hardware"
