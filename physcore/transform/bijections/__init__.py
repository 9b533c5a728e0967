"""Smooth invertible maps, one a file, on one contract."""

from physcore.transform.bijections.additive_logistic import AdditiveLogistic
from physcore.transform.bijections.affine import Affine
from physcore.transform.bijections.arcsinh import Arcsinh
from physcore.transform.bijections.arctan import Arctan
from physcore.transform.bijections.bijection import Bijection
from physcore.transform.bijections.composition import Composition
from physcore.transform.bijections.elementwise import Elementwise
from physcore.transform.bijections.flow import FlowLayer, flow_bijection
from physcore.transform.bijections.inverted import Inverted
from physcore.transform.bijections.polar import Polar
from physcore.transform.bijections.power import Power
from physcore.transform.bijections.selected import Selected
from physcore.transform.bijections.tanh import Tanh

__all__ = [
    "AdditiveLogistic",
    "Affine",
    "Arcsinh",
    "Arctan",
    "Bijection",
    "Composition",
    "Elementwise",
    "FlowLayer",
    "Inverted",
    "Polar",
    "Power",
    "Selected",
    "Tanh",
    "flow_bijection",
]
