"""Tests of the entry points: the implementation chosen, the calls refused, the logits read."""

import functools

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from kernels.token_stats import api, linear_token_loss, linear_token_stats, token_stats
from kernels.token_stats.pallas_tpu import tpu_blocks

PALLAS = ["pallas_tpu", "pallas_gpu"]


def compiling_for(platform, kind="some device"):
    device = jax.sharding.AbstractDevice(device_kind=kind, num_cores=None, platform=platform)
    return jax.sharding.use_abstract_mesh(jax.sharding.AbstractMesh((), (), abstract_device=device))


def find_equations(jaxpr, primitive):
    """Yields the equations of a primitive in a jaxpr, inside other calls too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == primitive:
            yield equation
        else:
            for inside in jax.extend.core.jaxprs_in_params(equation.params):
                yield from find_equations(inside, primitive)


@pytest.mark.parametrize("implementation", [None, "reference", "forward", "chunked"])
def test_the_linear_form_by_name(implementation):
    # logits 1 * (0, log 2, log 5): p = (1, 2, 5) / 8
    head = np.log(np.array([[1.0], [2.0], [5.0]], np.float32))
    call = jax.jit(functools.partial(linear_token_stats, implementation=implementation))
    stats = call(np.ones((3, 1), np.float32), head, np.arange(3))
    np.testing.assert_allclose(np.exp(stats.logprob), [1 / 8, 2 / 8, 5 / 8], rtol=1e-6)


@pytest.mark.parametrize(
    "platform, vocabulary, dtype, expected",
    [
        ("cpu", 151_936, "float32", "chunked"),
        ("tpu", 151_936, "bfloat16", "pallas_tpu"),
        ("gpu", 151_936, "float32", "pallas_gpu"),
        ("tpu", 100, "float32", "chunked"),
        ("gpu", 151_936, "float64", "chunked"),
        ("rocket", 151_936, "float32", "chunked"),
    ],
)
def test_default_by_platform_and_shape(platform, vocabulary, dtype, expected):
    with compiling_for(platform):
        operands = (jax.ShapeDtypeStruct((3, vocabulary), jnp.dtype(dtype)),)
        chosen = api.choose_implementation(
            None,
            known=("reference", *api.ONE_PASS_MODULES),
            vocabulary=vocabulary,
            operands=operands,
            interpret=False,
        )
        assert chosen == expected


@pytest.mark.parametrize("name", PALLAS)
def test_a_kernel_of_another_platform_is_refused_by_name(name):
    refused = pytest.raises(
        ValueError, match=f"^{name} does not run on cpu; use .*'chunked', or interpret=True"
    )
    with compiling_for("cpu"), refused:
        token_stats(jnp.zeros((1, 2)), jnp.array([0]), implementation=name)


@pytest.mark.parametrize("name", PALLAS)
def test_float64_is_refused_by_kernels(name):
    with (
        jax.enable_x64(True),
        pytest.raises(ValueError, match=f"{name} computes in float32.*chunked"),
    ):
        token_stats(np.zeros((1, 2)), np.array([0]), implementation=name)


@pytest.mark.parametrize("name", ["reference", "forward", "chunked", "loss"])
def test_float32_operands_are_multiplied_as_such(name):
    # It makes no difference on a CPU; by default a GPU rounds them to TF32 and a TPU to bfloat16.
    def sum_entropy(stats, _):
        return stats.entropy.sum()

    def total(hidden, head):
        tokens = jnp.zeros(3, int)
        if name == "loss":
            return linear_token_loss(sum_entropy, hidden, head, tokens, ())[0]
        return linear_token_stats(hidden, head, tokens, implementation=name).entropy.sum()

    operands = jax.ShapeDtypeStruct((3, 4), jnp.float32), jax.ShapeDtypeStruct((5, 4), jnp.float32)
    for function, least in ((total, 1), (jax.grad(total, argnums=(0, 1)), 3)):
        jaxpr = jax.make_jaxpr(function)(*operands).jaxpr
        products = list(find_equations(jaxpr, "dot_general"))
        precisions = {product.params["precision"] for product in products}
        assert len(products) >= least
        assert precisions == {(jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGHEST)}


def test_interpreting_what_is_no_kernel_is_refused():
    with pytest.raises(ValueError, match="interpret=True is for the Pallas.*chunked runs anywhere"):
        token_stats(jnp.zeros((1, 2)), jnp.array([0]), implementation="chunked", interpret=True)


@pytest.mark.parametrize("name", ["reference", "chunked"])
@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_temperatures_that_are_none_are_refused(name, temperature):
    with pytest.raises(ValueError, match=f"temperature.*{temperature}.*above 0"):
        token_stats(jnp.zeros((1, 2)), jnp.array([0]), implementation=name, temperature=temperature)


def test_a_width_that_no_block_of_a_generation_holds_is_refused():
    # 16 rows and 128 columns of 65,536 bfloat16 numbers, held twice, are 36 MiB.
    with pytest.raises(ValueError, match="width 65536.*15 MiB.*TPU v4.*chunked"):
        tpu_blocks.choose_linear_blocks(
            4096, 151_936, width=65_536, itemsize=2, device_kind="TPU v4"
        )


def test_unknown_implementations_and_tokens_that_are_none_are_refused():
    with pytest.raises(ValueError, match="'fast'.*reference"):
        token_stats(jnp.zeros((1, 2)), jnp.array([0]), implementation="fast")
    with pytest.raises(ValueError, match="'fast'.*forward"):
        linear_token_stats(
            jnp.zeros((1, 2)), jnp.zeros((3, 2)), jnp.array([0]), implementation="fast"
        )
    with pytest.raises(AssertionError):
        token_stats(jnp.zeros((2, 3)), jnp.array([0.0, 1.0]))
    with pytest.raises(AssertionError):
        token_stats(jnp.zeros((2, 3)), jnp.array([0, 1]), mask=jnp.array([1, 0]))


def test_default_keeps_forward_mode_for_few_logits():
    logits, tokens = jnp.array([[0.0, 1.0, 3.0]]), jnp.array([1])

    def entropy_tangent(name):
        def entropy(logits):
            return token_stats(logits, tokens, implementation=name).entropy

        return jax.jvp(entropy, (logits,), (logits,))[1]

    np.testing.assert_array_equal(entropy_tangent(None), entropy_tangent("reference"))


def test_the_logits_form_declares_and_makes_one_read_of_the_logits():
    shape = 4096, 151_936
    logits = jax.ShapeDtypeStruct(shape, jnp.bfloat16)
    tokens = jax.ShapeDtypeStruct(shape[:1], jnp.int32)
    with compiling_for("tpu", "TPU v5 lite"):
        (call,) = find_equations(jax.make_jaxpr(token_stats)(logits, tokens).jaxpr, "pallas_call")
    assert call.params["cost_estimate"].bytes_accessed == 2 * shape[0] * shape[1]
    (read,) = [
        mapping
        for mapping in call.params["grid_mapping"].block_mappings
        if mapping.array_aval.shape == shape
    ]
    rows, columns = (size.block_size for size in read.block_shape)
    # As many grid steps as blocks, and each has a block of its own.
    assert call.params["grid_mapping"].grid == (-(-shape[0] // rows), -(-shape[1] // columns))
