"""The pure core: stages, criteria, smoothing, and the curriculum that decides. Standard library only."""

from stagectl.curriculum.criteria import Progress as Progress
from stagectl.curriculum.criteria import Term as Term
from stagectl.curriculum.criteria import terms as terms
from stagectl.curriculum.staged import CurriculumEnd as CurriculumEnd
from stagectl.curriculum.staged import Decision as Decision
from stagectl.curriculum.staged import StagedProgressiveCurriculum as StagedProgressiveCurriculum
from stagectl.curriculum.staged import StageTransition as StageTransition
from stagectl.curriculum.staged import Task as Task
from stagectl.curriculum.stages import Score as Score
from stagectl.curriculum.stages import Stage as Stage
from stagectl.curriculum.stages import merge as merge
from stagectl.curriculum.stages import read_stages as read_stages
