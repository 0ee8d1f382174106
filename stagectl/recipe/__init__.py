"""YAML → a checked, immutable Recipe. A recipe is data: reading it imports nothing that it names."""

from stagectl.recipe.changes import changes as changes
from stagectl.recipe.changes import fingerprint as fingerprint
from stagectl.recipe.curriculum_class import build_curriculum as build_curriculum
from stagectl.recipe.curriculum_class import import_from as import_from
from stagectl.recipe.launch import Launch as Launch
from stagectl.recipe.load import load_recipe as load_recipe
from stagectl.recipe.load import read_resolved as read_resolved
from stagectl.recipe.load import write_resolved as write_resolved
from stagectl.recipe.model import Recipe as Recipe
from stagectl.recipe.model import Trainer as Trainer
from stagectl.recipe.model import Wandb as Wandb
from stagectl.recipe.only import only_stage as only_stage
