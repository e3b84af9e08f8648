"""What is used of Optuna that it does not promise to keep, in one place.

Optuna's public interface says neither how a claim and its owner become one transaction, nor how a
record of its journal is to be sealed. Whoever lets another release in reads these in its source,
runs the sweep's tests, and then changes TESTED; tests/sweep/test_private.py holds both.
"""

from __future__ import annotations

TESTED = "5.0"  # the release that these were read in

NAMES = {  # private name -> where it is, "module:object"
    "_trial_id": "optuna.trial:FrozenTrial",
    "_create_new_trial": "optuna.storages:RDBStorage",
    "_get_prepared_new_trial": "optuna.storages:RDBStorage",
    "_set_trial_param": "optuna.storages:RDBStorage",
    "_get_best_trial_id": "optuna.storages:RDBStorage",
    "_get_trials": "optuna.storages:RDBStorage",
    "_rdb": "optuna.storages",  # its models: TrialModel.find_or_raise_by_id, and the tables' names
}
JOURNAL = {  # operation in a journal -> its "op_code"; in optuna.storages.journal._storage
    "CREATE_STUDY": 0,
    "CREATE_TRIAL": 4,
}
FAILED, MAXIMIZE = 3, 2  # numbers of a trial's state and of a study's direction there
