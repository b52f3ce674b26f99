"""Send requests to an OpenAI-compatible endpoint, with rate limits, a budget, and a cache of answers."""

from autolabel.endpoint.address import is_here
from autolabel.endpoint.budget import Budget, Spent
from autolabel.endpoint.chat import Message, Picture, Question, Reply, Token, Usage
from autolabel.endpoint.client import Endpoint
from autolabel.endpoint.desk import EndpointAccount, NotAsked
from autolabel.endpoint.kept import Answers
from autolabel.endpoint.manners import Clock, Manners
from autolabel.endpoint.params import EndpointParams, EndpointUrl

__all__ = [
    "Answers",
    "Budget",
    "Clock",
    "Endpoint",
    "EndpointAccount",
    "EndpointParams",
    "EndpointUrl",
    "Manners",
    "Message",
    "NotAsked",
    "Picture",
    "Question",
    "Reply",
    "Spent",
    "Token",
    "Usage",
    "is_here",
]
