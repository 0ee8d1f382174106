"""PPO in one file, after CleanRL's ppo.py, on the stages of a stagectl recipe.

    stagectl run recipes/own_trainer/own_trainer.yaml

The lines marked with `# stagectl` are all that staged training takes.
"""

import argparse
import random
from dataclasses import dataclass

import gymnasium as gym
import minigrid  # noqa: F401  registers the environments
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical

import stagectl  # stagectl


@dataclass
class Args:
    seed: int = 1
    num_envs: int = 16
    num_steps: int = 128
    learning_rate: float = 1e-3
    gamma: float = 0.99
    gae_lambda: float = 0.95
    num_minibatches: int = 8
    update_epochs: int = 4
    clip_coef: float = 0.2
    ent_coef: float = 0.02
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5


class Agent(nn.Module):
    """Actor and critic over the one-hot view: object (11), colour (6) and state (3) of each of 7 × 7 cells."""

    def __init__(self, num_actions):
        super().__init__()
        size = 7 * 7 * (11 + 6 + 3)
        self.critic = nn.Sequential(nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
        self.actor = nn.Sequential(
            nn.Linear(size, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, num_actions)
        )

    def act(self, obs, action=None):
        """Action, its log-probability, the policy's entropy, and the value, each of shape (batch,)."""
        dist = Categorical(logits=self.actor(obs))
        action = dist.sample() if action is None else action
        return action, dist.log_prob(action), dist.entropy(), self.critic(obs).squeeze(-1)


class Slot:
    """One environment after another: each episode is played in the environment of the task it was given."""

    def __init__(self, curriculum, seed):
        self.curriculum, self.seed, self.envs = curriculum, seed, {}

    def reset(self):
        self.task = self.curriculum.get_task()  # stagectl
        self.episode_return = 0.0
        name = self.task.stage.curriculum
        new = name not in self.envs
        if new:
            self.envs[name] = gym.make(name, **self.task.env_cfg())
        self.env = self.envs[name]
        return encode(self.env.reset(seed=self.seed if new else None)[0])

    def step(self, action):
        obs, reward, terminated, truncated, _ = self.env.step(action)
        self.episode_return += reward
        if terminated or truncated:
            self.task.complete(float(self.episode_return > 0))  # stagectl
            return self.reset(), reward, True
        return encode(obs), reward, False


def encode(obs):
    view = obs["image"]
    return np.concatenate([np.eye(n, dtype=np.float32)[view[..., i]].ravel() for i, n in enumerate((11, 6, 3))])


def save(session, agent, optimizer):
    with session.checkpoint() as folder:  # stagectl
        torch.save({"agent": agent.state_dict(), "optimizer": optimizer.state_dict()}, folder / "agent.pt")


def train(args, session):
    global_step = session.step  # stagectl: 0, or where the checkpoint is that this process goes on from
    seed = args.seed + global_step
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(1)

    slots = [Slot(session.curriculum, seed + i) for i in range(args.num_envs)]  # stagectl
    next_obs = torch.from_numpy(np.stack([slot.reset() for slot in slots]))
    agent = Agent(int(slots[0].env.action_space.n))
    optimizer = torch.optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    if session.resumed_from:  # stagectl
        saved = torch.load(session.resumed_from / "agent.pt")  # stagectl
        agent.load_state_dict(saved["agent"])  # stagectl
        optimizer.load_state_dict(saved["optimizer"])  # stagectl

    shape = (args.num_steps, args.num_envs)
    obs = torch.zeros((*shape, next_obs.shape[1]))
    actions, logprobs, rewards, dones, values = (torch.zeros(shape) for _ in range(5))

    while not session.should_stop:  # stagectl
        for t in range(args.num_steps):
            obs[t] = next_obs
            with torch.no_grad():
                action, logprobs[t], _, values[t] = agent.act(next_obs)
            actions[t] = action
            stepped = [slot.step(a) for slot, a in zip(slots, action.tolist(), strict=True)]
            next_obs = torch.from_numpy(np.stack([s[0] for s in stepped]))
            rewards[t] = torch.tensor([float(s[1]) for s in stepped])
            dones[t] = torch.tensor([float(s[2]) for s in stepped])
        global_step += args.num_steps * args.num_envs
        session.update_step_count(global_step)  # stagectl: transitions happen here, between rollouts

        # generalised advantage estimation
        advantages = torch.zeros(shape)
        with torch.no_grad():
            next_value = agent.critic(next_obs).squeeze(-1)
        last = torch.zeros(args.num_envs)
        for t in reversed(range(args.num_steps)):
            following = next_value if t == args.num_steps - 1 else values[t + 1]
            delta = rewards[t] + args.gamma * following * (1 - dones[t]) - values[t]
            advantages[t] = last = delta + args.gamma * args.gae_lambda * (1 - dones[t]) * last
        returns = advantages + values

        # the clipped objective, over minibatches
        flat = [x.reshape(-1, *x.shape[2:]) for x in (obs, actions, logprobs, advantages, returns)]
        batch_size = args.num_steps * args.num_envs
        for _ in range(args.update_epochs):
            for index in torch.randperm(batch_size).chunk(args.num_minibatches):
                b_obs, b_actions, b_logprobs, b_advantages, b_returns = (x[index] for x in flat)
                _, logprob, entropy, value = agent.act(b_obs, b_actions)
                ratio = (logprob - b_logprobs).exp()
                b_advantages = (b_advantages - b_advantages.mean()) / (b_advantages.std() + 1e-8)
                clipped = ratio.clamp(1 - args.clip_coef, 1 + args.clip_coef)
                policy_loss = -torch.min(b_advantages * ratio, b_advantages * clipped).mean()
                value_loss = 0.5 * (value - b_returns).pow(2).mean()
                loss = policy_loss - args.ent_coef * entropy.mean() + args.vf_coef * value_loss
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
                optimizer.step()
        session.log({"loss/policy": policy_loss.item(), "loss/value": value_loss.item()}, global_step)  # stagectl
        if session.checkpoint_due:  # stagectl: a stage was left, or the recipe's `checkpoint_every` steps passed
            save(session, agent, optimizer)  # stagectl

    save(session, agent, optimizer)  # stagectl


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=Args.seed)
    with stagectl.attach() as session:  # stagectl
        train(Args(seed=parser.parse_args().seed), session)
