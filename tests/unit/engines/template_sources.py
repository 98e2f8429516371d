"""Chat templates in the style of the families, as far as tests need them; none is a copy of a model's own."""

from __future__ import annotations

PLAIN = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}"""
"""Has no place for tools."""

QWEN = """\
{%- if tools -%}
<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content }}

{% endif %}<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools>
Return a call as <tool_call>{"name": ..., "arguments": ...}</tool_call><|im_end|>
{% elif messages[0].role == 'system' -%}
<|im_start|>system
{{ messages[0].content }}<|im_end|>
{% endif -%}
{%- for message in messages -%}
{%- if message.role == 'tool' -%}
<|im_start|>user
<tool_response>
{{ message.content }}
</tool_response><|im_end|>
{% elif message.role != 'system' -%}
<|im_start|>{{ message.role }}
{% if message.reasoning_content is defined %}<think>
{{ message.reasoning_content }}
</think>

{% endif %}{{ message.content | trim }}
{%- for call in message.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor -%}<|im_end|>
{% endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking is false %}<think>

</think>

{% endif %}{% endif -%}"""
"""Thinks unless `enable_thinking` is false; writes calls in the form of Hermes."""

DEEPSEEK_R1 = """\
{{ bos_token }}{% for message in messages %}<|{{ message.role }}|>{{ message.content.split('</think>')[-1] }}\
{% endfor %}{% if add_generation_prompt %}<|assistant|><think>
{% endif %}"""
"""The prompt ends within the thoughts."""

MISTRAL = """\
{{ bos_token }}
{%- for message in messages -%}
{%- if message.role == 'user' -%}
{%- if loop.last and tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif -%}
[INST]{{ message.content }}[/INST]
{%- elif message.role == 'tool' -%}
{%- if message.tool_call_id is undefined or message.tool_call_id | length != 9 -%}
{{ raise_exception('ids of calls have nine characters') }}
{%- endif -%}
[TOOL_RESULTS]{"content": {{ message.content | tojson }}, "call_id": "{{ message.tool_call_id }}"}[/TOOL_RESULTS]
{%- elif message.role == 'assistant' and message.tool_calls is defined -%}
[TOOL_CALLS][
{%- for call in message.tool_calls -%}
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}, "id": "{{ call.id }}"}
{%- if not loop.last %}, {% endif -%}
{%- endfor -%}]{{ eos_token }}
{%- elif message.role == 'assistant' -%}
{{ message.content }}{{ eos_token }}
{%- else -%}
{{ raise_exception('only user, assistant and tool speak here') }}
{%- endif -%}
{%- endfor -%}"""
"""Has no turn of the system, and no place for a new turn of the assistant."""

LLAMA = """\
{{ bos_token }}
{%- for message in messages -%}
<|start_header_id|>{{ 'ipython' if message.role == 'tool' else message.role }}<|end_header_id|>

{% if message.role == 'user' and loop.last and tools -%}
Answer with {"name": function name, "parameters": dictionary of argument name and its value}.
{% for tool in tools %}{{ tool | tojson(indent=4) }}
{% endfor %}{% endif -%}
{%- if 'tool_calls' in message -%}
{%- set call = message.tool_calls[0].function -%}
{"name": "{{ call.name }}", "parameters": {{ call.arguments | tojson }}}
{%- else -%}{{ message.content | trim }}{%- endif -%}<|eot_id|>
{%- endfor -%}
{%- if add_generation_prompt -%}<|start_header_id|>assistant<|end_header_id|>

{% endif -%}"""

DOCUMENTS = """\
{% for document in documents or [] %}[{{ document.title }}: {{ document.text }}]{% endfor %}\
{% for message in messages %}{{ message.content }}{% endfor %}|{{ reasoning_effort }}|"""
"""Shows documents and knows an effort."""

GPT_OSS = """\
{% if tools %}<|start|>developer<|message|>{% for tool in tools %}{{ tool.function.name }}\
{% endfor %}<|end|>{% endif %}\
{% for message in messages %}<|start|>{{ message.role }}\
{% if message.thinking is defined %}<|channel|>analysis<|message|>{{ message.thinking }}<|end|>\
<|start|>assistant{% endif %}\
{% if message.role == 'assistant' %}<|channel|>final{% endif %}<|message|>{{ message.content }}<|end|>{% endfor %}\
{% if add_generation_prompt %}<|start|>assistant{% endif %}{# {{ reasoning_effort }} #}"""
"""Says everything in channels."""
