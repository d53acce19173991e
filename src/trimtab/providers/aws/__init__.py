"""Amazon's platforms: Bedrock (InvokeModel and its Messages endpoint) and Claude Platform on AWS.

What it is not: an AWS library. Signatures, credentials and the event stream are here as far as these platforms need
them. Invariant: a secret leaves the process only as a signature, or as the bearer key of the platform that it is for.
"""

from trimtab.providers.aws.bedrock import BedrockSettings, open_bedrock
from trimtab.providers.aws.claude_on_aws import ClaudeOnAwsSettings, open_claude_on_aws

__all__ = ["BedrockSettings", "ClaudeOnAwsSettings", "open_bedrock", "open_claude_on_aws"]
