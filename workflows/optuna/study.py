"""An Optuna study: which support vector machine tells malignant cell nuclei from benign ones best?"""

import argparse
import json
import os

import optuna
import trireme

HERE = os.path.dirname(os.path.abspath(__file__))


def submit(trial):
    """The trial as a task. Its name and words follow from the study alone, so that a study that is run again finds it."""
    parameters = {
        "C": trial.suggest_float("C", 1e-3, 1e3, log=True),
        "gamma": trial.suggest_float("gamma", 1e-5, 1e1, log=True),
        "kernel": trial.suggest_categorical("kernel", ["rbf", "sigmoid"]),
    }
    words = [os.path.join(HERE, "python"), os.path.join(HERE, "trial.py"), json.dumps(parameters, sort_keys=True)]
    return trireme.submit(words, name=f"trial-{trial.number}", env={"OMP_NUM_THREADS": 1}, retries=1, timeout="10m")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generations", type=int, required=True)
    parser.add_argument("--width", type=int, required=True)
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Seeded, and told of the trials in the order of their numbers: the same study each time.
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=1, n_startup_trials=2 * arguments.width))
    for generation in range(arguments.generations):
        trials = [study.ask() for _ in range(arguments.width)]
        tasks = [submit(trial) for trial in trials]
        trireme.wait(tasks)
        for trial, task in zip(trials, tasks):
            if task.exception() is None:
                study.tell(trial, json.loads(task.result().read("stdout"))["accuracy"])
            else:
                print(task.exception(), flush=True)
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
        print(f"generation {generation + 1}: best accuracy {study.best_value:.4f} with {study.best_params}", flush=True)

    with open(arguments.out, "w") as file:
        json.dump({"trials": len(study.trials), "best": study.best_value, "trial": study.best_trial.number, "parameters": study.best_params}, file, indent=2)


if __name__ == "__main__":
    main()
