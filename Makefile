# make eval and make test set everything up on a fresh Debian with Python 3.11 or newer, the first time.
# ARGS is handed on: make eval ARGS="suite=libero_spatial inits=10".

.PHONY: eval test train bridge world gpu docs pictures lint setup clean

eval: setup  ## the shipped policy in the real LIBERO: 20 episodes, table, videos, report
	@.venv/bin/playloop eval $(ARGS)

test: setup  ## all tests, those on the real simulator included
	@OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

RECORD = .venv/bin/playloop record env.success_steps=10
TRAIN = .venv/bin/playloop train training=cpu policy.draws=1 training.trainer.precision=bf16
OBJECT_AND_SPATIAL = data/libero_object,data/libero_spatial
SHAKEN = data/shaken_object,data/shaken_spatial
MISSES = data/object,data/spatial,data/spatial2

train: setup  ## the shipped policy again, from nothing: four hours on two cores
	@$(RECORD) suite=libero_object agent.disturbance=0.02 stride=4 episodes=280 seed=1 out=data/libero_object
	@$(RECORD) suite=libero_spatial agent.disturbance=0.02 stride=4 episodes=200 seed=1 out=data/libero_spatial
	@$(RECORD) suite=libero_object agent.disturbance=0.03 stride=8 episodes=130 seed=2 out=data/shaken_object
	@$(RECORD) suite=libero_spatial agent.disturbance=0.03 stride=8 episodes=100 seed=2 out=data/shaken_spatial
	@$(TRAIN) data=[$(OBJECT_AND_SPATIAL)] training.trainer.steps=5000 training.trainer.rate=6e-4 out=runs/libero
	@$(TRAIN) data=[$(OBJECT_AND_SPATIAL),$(SHAKEN),$(SHAKEN),$(SHAKEN)] training.task.start=runs/libero/checkpoint \
		training.trainer.steps=1600 training.trainer.rate=4e-4 training.trainer.warmup=100 \
		training.trainer.average=0.995 out=runs/libero_shaken
	@$(RECORD) suite=libero_object agent.disturbance=0.03 stride=8 episodes=400 seed=11 out=data/object
	@$(RECORD) suite=libero_spatial agent.disturbance=0.03 agent.misses=0.4 stride=8 episodes=400 seed=12 out=data/spatial
	@$(RECORD) suite=libero_spatial agent.disturbance=0.02 agent.misses=0.25 stride=8 episodes=400 seed=13 out=data/spatial2
	@$(TRAIN) data=[$(MISSES)] training.task.start=runs/libero_shaken/checkpoint \
		training.trainer.steps=7500 training.trainer.rate=5e-4 out=runs/libero2
	@$(RECORD) suite=libero_spatial agent=handover agent.policy.checkpoint=runs/libero2/checkpoint \
		stride=8 episodes=250 seed=14 out=data/handover
	@$(TRAIN) data=[$(MISSES),data/handover,data/handover] training.task.start=runs/libero2/checkpoint \
		training.trainer.steps=2400 training.trainer.rate=3e-4 out=runs/libero3

BRIDGE = .venv/bin/playloop record env=simpler env.success=any env.success_steps=10
IMITATE = OMP_NUM_THREADS=1 .venv/bin/playloop train training=cpu policy=bridge trainer.precision=bf16 \
	trainer.average=0.995 trainer.validate_every=300 trainer.checkpoint_every=100

bridge: setup  ## the shipped policy of SimplerEnv's Bridge again, from nothing; MS_ASSET_DIR names the assets
	@$(BRIDGE) agent=expert agent.disturbance=0.03 episodes=480 seed=1 out=data/bridge
	@$(BRIDGE) agent=expert agent.disturbance=0.03 episodes=320 seed=2 out=data/bridge2
	@$(IMITATE) data=[data/bridge,data/bridge2] out=runs/bridge \
		trainer.steps=4800 trainer.rate=8e-4 trainer.warmup=100 trainer.decay=0.05
	@$(BRIDGE) agent=handover agent.earliest=2 agent.latest=9 agent.policy.checkpoint=runs/bridge/checkpoint tasks=[0,1,2] episodes=300 seed=3 \
		out=data/bridge_handover
	@$(IMITATE) data=[data/bridge,data/bridge2,data/bridge_handover,data/bridge_handover] \
		training.task.start=runs/bridge/checkpoint out=runs/bridge_2 \
		trainer.steps=1800 trainer.rate=5e-4 trainer.warmup=50 trainer.decay=0.1
	@$(IMITATE) data=[data/bridge,data/bridge2,data/bridge_handover] training.task.start=runs/bridge_2/checkpoint \
		out=runs/bridge_3 trainer.steps=1400 trainer.rate=5e-4 trainer.warmup=50 trainer.decay=0.1

EXPLORE = .venv/bin/playloop record env=craft agent=explorer task=explore env.horizon=500
TEACH = OMP_NUM_THREADS=1 .venv/bin/playloop train training=cpu trainer.precision=bf16

world: setup  ## the shipped world model again, from nothing: four hours on two cores
	@$(EXPLORE) episodes=400 seed=1 out=data/explore
	@$(EXPLORE) episodes=24 seed=2 out=data/explore_test
	@$(TEACH) tokenizer=craft data=data/explore out=runs/tokenizer trainer.steps=2400 trainer.rate=1.5e-3 \
		trainer.warmup=100 trainer.average=0.995 trainer.validate_every=400 trainer.checkpoint_every=200 trainer.decay=0.01
	@$(TEACH) world=craft data=data/explore tokenizer=runs/tokenizer/checkpoint out=runs/world trainer.steps=2200 \
		trainer.batch=24 trainer.rate=1.5e-3 trainer.warmup=100 trainer.average=0.99 trainer.validate_every=200 \
		trainer.checkpoint_every=50 trainer.decay=0.05
	@$(TEACH) world=craft data=data/explore tokenizer=runs/tokenizer/checkpoint training.task.start=runs/world/checkpoint \
		training.task.imagined=0.125 out=runs/world2 trainer.steps=1500 trainer.batch=24 trainer.rate=8e-4 \
		trainer.warmup=50 trainer.average=0.99 trainer.validate_every=250 trainer.checkpoint_every=50 trainer.decay=0.05
	@$(TEACH) tokenizer=craft data=data/explore training.task.generated=runs/world2/checkpoint out=runs/decoder \
		trainer.steps=300 trainer.batch=32 trainer.rate=5e-4 trainer.warmup=20 trainer.average=0.98 \
		trainer.validate_every=100 trainer.checkpoint_every=50 trainer.decay=0.01
	@$(TEACH) inverse=craft data=data/explore out=runs/inverse trainer.steps=2600 trainer.batch=128 trainer.rate=1e-3 \
		trainer.warmup=150 trainer.average=0.995 trainer.validate_every=400 trainer.checkpoint_every=100 trainer.decay=0.1

gpu: setup  ## on a GPU: decisions of OpenVLA's 7B and frames of MineWorld's three sizes, random weights
	@.venv/bin/playloop bench decode openvla.model=7b openvla.device=cuda openvla.weights=fp8 openvla.kernels=[torch,triton]
	@for size in 300M_16f 700M_16f 1200M_16f; do .venv/bin/playloop bench world mineworld.model=$$size \
		mineworld.device=cuda mineworld.precision=fp16 mineworld.kernels=[torch,triton]; done

docs: setup  ## these pages at http://127.0.0.1:8000, built again when one changes
	@NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs serve $(ARGS)

pictures: setup  ## README's moving pictures again, of a real episode and the real play page
	@.venv/bin/python .ci/pictures

lint: setup  ## ruff, sizes of files and functions, order of imports, mypy, the pages without a warning
	@.ci/lint

setup:
	@.ci/setup

clean:  ## remove the virtual environment and caches; results under runs/ and data/ stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
