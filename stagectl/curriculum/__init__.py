"""The pure core: stages, criteria, smoothing, and the curriculum that decides. Standard library only."""

from stagectl.curriculum.config import merge as merge
from stagectl.curriculum.config import read_stages as read_stages
from stagectl.curriculum.decisions import CurriculumEnd as CurriculumEnd
from stagectl.curriculum.decisions import Decision as Decision
from stagectl.curriculum.decisions import Finished as Finished
from stagectl.curriculum.decisions import StageTransition as StageTransition
from stagectl.curriculum.decisions import Task as Task
from stagectl.curriculum.evaluated import metrics_never_logged as metrics_never_logged
from stagectl.curriculum.evaluated import stages_evaluated as stages_evaluated
from stagectl.curriculum.evidence import Term as Term
from stagectl.curriculum.evidence import terms_at_entry as terms_at_entry
from stagectl.curriculum.lint import warnings_of as warnings_of
from stagectl.curriculum.sampling import probabilities as probabilities
from stagectl.curriculum.staged import Progress as Progress
from stagectl.curriculum.staged import StagedProgressiveCurriculum as StagedProgressiveCurriculum
from stagectl.curriculum.stages import Score as Score
from stagectl.curriculum.stages import Stage as Stage
from stagectl.curriculum.stages import members_of as members_of
from stagectl.curriculum.ways import can_end as can_end
from stagectl.curriculum.ways import metrics_named as metrics_named
